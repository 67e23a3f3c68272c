"""What every evaluation starts from: a model and the data that fit each other, and its answers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset, load_dataset
from classifier.models.bundle import Bundle, load_bundle


@dataclass(frozen=True)
class Answers:
    """What a model says about some images of a data set.

    rows: int64 `(n,)`, the images. probabilities: float64 `(n, classes)`.
    """

    dataset: Dataset
    rows: np.ndarray
    probabilities: np.ndarray

    @cached_property
    def labels(self) -> np.ndarray:
        """True class indices: int64 `(n,)`."""
        return self.dataset.labels[self.rows]

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


def load_trained(
    models: Path, split: Path, device: torch.device | None = None
) -> tuple[Bundle, Dataset]:
    """The model and the data set, which must have the same classes and preprocessing.

    Raises UserError where a file is missing, or where the two do not belong together.
    """
    bundle, dataset = load_bundle(models, device), load_dataset(split)
    if bundle.spec.classes != dataset.classes:
        theirs, ours = set(bundle.spec.classes), set(dataset.classes)
        different = ", ".join(sorted(theirs ^ ours)) or "their order"
        raise UserError(
            f"The model in {models} knows other classes than {split} holds (the difference: "
            f"{different}): run the train stage again."
        )
    if bundle.spec.preprocessing != dataset.preprocessing:
        raise UserError(
            f"The model in {models} was trained on images made by {bundle.spec.preprocessing}, "
            f"those of {split} by {dataset.preprocessing}: run the train stage again."
        )
    return bundle, dataset
