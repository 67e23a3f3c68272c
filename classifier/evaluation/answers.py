"""Hold the answers of a model for some images of a data set, and the true classes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from classifier.data.dataset import Dataset


@dataclass(frozen=True)
class Answers:
    """The answers of a model for some images.

    Attributes:
        dataset: the data set that the images are in.
        rows: which of its images, int64 `(n,)`.
        probabilities: float64 `(n, classes)`.
        outside: outside scores, float64 `(n,)`; None where they were not computed.
    """

    dataset: Dataset
    rows: np.ndarray
    probabilities: np.ndarray
    outside: np.ndarray | None = None

    @cached_property
    def labels(self) -> np.ndarray:
        """True class indices: int64 `(n,)`."""
        return self.dataset.labels[self.rows]

    @cached_property
    def paths(self) -> np.ndarray:
        """Paths of the images: str `(n,)`."""
        return self.dataset.manifest["path"].to_numpy()[self.rows]

    @cached_property
    def predicted(self) -> np.ndarray:
        """Indices of the most probable classes: int64 `(n,)`."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probabilities of the predicted classes: float64 `(n,)`."""
        return self.probabilities.max(axis=1)

    @cached_property
    def right(self) -> np.ndarray:
        """Which images are classified correctly: bool `(n,)`."""
        return self.predicted == self.labels
