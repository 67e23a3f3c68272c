"""Load the trained model and its data, with which every exported file is compared."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset, Split
from classifier.export.export_report import Exported
from classifier.export.formats import measure_agreement
from classifier.inference.onnx_runtime import Predictor
from classifier.models.bundle import Bundle
from classifier.models.prediction import predict_split
from classifier.processing.images import center_crop


@dataclass(frozen=True)
class Reference:
    """The trained model and its data.

    Attributes:
        bundle: the trained model, on the CPU.
        dataset: the data set that it belongs to (`load_trained`).
        batch_size: images at once; memory, not results.
    """

    bundle: Bundle
    dataset: Dataset
    batch_size: int

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Return the model input of these rows: uint8 `(n, input_size, input_size, 3)`."""
        return np.ascontiguousarray(
            center_crop(self.dataset.images[rows], self.bundle.spec.input_size)
        )

    def labels(self, split: Split) -> np.ndarray:
        """Return the true classes of a split: int64 `(n,)`."""
        return self.dataset.labels[self.dataset.rows(split)]

    def logits(self, predict: Predictor, split: Split) -> np.ndarray:
        """Return what `predict` gives for a split, in batches: float32 `(n, classes)`."""
        rows = self.dataset.rows(split)
        batches = np.array_split(rows, -(-len(rows) // self.batch_size))
        return np.concatenate([predict(self.images(batch)) for batch in batches])

    @cached_property
    def expected(self) -> np.ndarray:
        """The PyTorch model's logits of the test split: float32 `(n, classes)`."""
        return predict_split(self.bundle, self.dataset, "test", batch_size=self.batch_size)[0]

    @property
    def spread(self) -> float:
        """The standard deviation of the model's logits on the test split."""
        return float(self.expected.std())

    def compare(self, name: str, file: str, content: bytes, predict: Predictor) -> Exported:
        """Measure how a file agrees with the PyTorch model on the test split.

        Args:
            name: of the format.
            file: name of the file.
            content: of the file.
            predict: runs the file.
        """
        logits = self.logits(predict, "test")
        agreement = measure_agreement(logits, self.expected, self.labels("test"))
        return Exported(name, file, content, predict, agreement)

    def validation_accuracy(self, predict: Predictor) -> float:
        """Return the accuracy of `predict` on the validation split."""
        predicted = self.logits(predict, "val").argmax(axis=1)
        return float(np.mean(predicted == self.labels("val")))


def check_agreement(exported: Exported, limit: float, spread: float) -> None:
    """Check that the logits of a file are those of the model.

    Args:
        exported: the file.
        limit: the largest difference (`export.max_logit_difference`), for logits that spread by 1
            or less; for others, in proportion.
        spread: standard deviation of the model's logits.

    Raises:
        UserError: where they do, or are not numbers.
    """
    difference = exported.agreement.max_logit_difference
    allowed = limit * max(1.0, spread)
    if not difference <= allowed:
        raise UserError(
            f"{exported.file} differs from the PyTorch model by {difference:.3g} in a logit; "
            f"export.max_logit_difference allows {limit:g}, times the logits' spread of "
            f"{spread:.3g} where that is above 1: raise it only if that is harmless."
        )
