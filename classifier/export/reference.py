"""Load the trained model and its data, with which every exported file is compared."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset, Split
from classifier.export.export_report import Exported
from classifier.export.formats import measure_agreement
from classifier.export.onnx_export import Network
from classifier.export.similar_images import ChosenImages
from classifier.inference.golden import OUTSIDE_FACTOR
from classifier.inference.onnx_runtime import Outputs, Predictor
from classifier.inference.torch_runtime import eager
from classifier.metrics.outside import OutsideScore
from classifier.models.bundle import Bundle
from classifier.models.folding import fold_batch_norm
from classifier.models.network import Classifier
from classifier.models.network_outputs import network_outputs
from classifier.models.outside import with_scores
from classifier.models.prediction import predict_split
from classifier.processing.decision import Decision
from classifier.processing.images import center_crop
from classifier.processing.rules import is_outside

# Test images whose similarities to training images are compared, and how much these may differ.
_COMPARED, _SIMILARITY = 8, 0.01


@dataclass(frozen=True)
class Reference:
    """The trained model and its data.

    Attributes:
        bundle: the trained model, on the CPU.
        dataset: the data set that it belongs to (`load_trained`).
        batch_size: images at once; memory, not results.
        score: the outside score; None without.
        similar: the training images that travel; None without.
    """

    bundle: Bundle
    dataset: Dataset
    batch_size: int
    score: OutsideScore | None = None
    similar: ChosenImages | None = None

    @cached_property
    def network(self) -> Network:
        """The network that is exported: batch norm folded, with what it gives beside logits."""
        classifier = deepcopy(self.bundle.model)
        images = torch.from_numpy(self.images(self.dataset.rows("test")[:2]))
        example = classifier.normalize(images.to(classifier.mean.device))
        classifier.backbone = fold_batch_norm(classifier.backbone, example)
        return self.with_scores(classifier)

    def with_scores(self, classifier: Classifier) -> Network:
        """Return the classifier with what the exported files give beside logits."""
        directions = None if self.similar is None else self.similar.directions
        return with_scores(classifier, self.score, directions)

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Return the model input of these rows: uint8 `(n, input_size, input_size, 3)`."""
        return np.ascontiguousarray(
            center_crop(self.dataset.images[rows], self.bundle.spec.input_size)
        )

    def labels(self, split: Split) -> np.ndarray:
        """Return the true classes of a split: int64 `(n,)`."""
        return self.dataset.labels[self.dataset.rows(split)]

    def outputs(self, predict: Predictor, split: Split) -> Outputs:
        """Return logits and outside scores that `predict` gives for a split, in batches."""
        rows = self.dataset.rows(split)
        batches = np.array_split(rows, -(-len(rows) // self.batch_size))
        # Without the similarities: of many images to many others, they would fill the memory.
        given = [predict(self.images(batch))[:2] for batch in batches]
        logits = np.concatenate([logits for logits, _ in given])
        scores = [outside for _, outside in given if outside is not None]
        return Outputs(logits, np.concatenate(scores) if scores else None)

    @cached_property
    def expected(self) -> Outputs:
        """What the PyTorch model gives for the test split."""
        if self.score is None:
            (logits,) = predict_split(self.bundle, self.dataset, "test", batch_size=self.batch_size)
            return Outputs(logits)
        rows = self.dataset.rows("test")
        given = network_outputs(self.bundle, self.dataset.images, rows, batch_size=self.batch_size)
        return Outputs(given.logits, self.score(*given).astype(np.float32))

    @property
    def spread(self) -> float:
        """The standard deviation of the model's logits on the test split."""
        return float(self.expected.logits.std())

    def compare(
        self,
        name: str,
        file: str,
        content: bytes,
        predict: Predictor,
        outside_above: float | None = None,
    ) -> Exported:
        """Measure how a file agrees with the PyTorch model on the test split.

        Args:
            name: of the format.
            file: name of the file.
            content: of the file.
            predict: runs the file.
            outside_above: threshold of the outside score; None without.
        """
        given = self.outputs(predict, "test")
        agreement = measure_agreement(given, self.expected, self.labels("test"), outside_above)
        return Exported(name, file, content, predict, agreement)

    def check_similarity(self, exported: Exported) -> None:
        """Check that a file in float gives the similarities of the model.

        Raises:
            UserError: where one differs, or is no number.
        """
        if self.similar is None:
            return
        images = self.images(self.dataset.rows("test")[:_COMPARED])
        expected = eager(self.with_scores(self.bundle.model))(images).similarity
        given = exported.predict(images).similarity
        assert expected is not None
        if given is None or not np.abs(given - expected).max() <= _SIMILARITY:
            raise UserError(
                f"{exported.file} gives other similarities to training images than the PyTorch "
                "model: set export.similar_images: 0, and report it as an error of this program."
            )

    def validation_accuracy(self, predict: Predictor, decision: Decision) -> float:
        """Return the accuracy of `predict` on the validation split.

        An image that the decision refuses as none of the classes is an error.
        """
        given = self.outputs(predict, "val")
        right = given.logits.argmax(axis=1) == self.labels("val")
        return float(np.mean(right & ~is_outside(given.outside, decision)))


def check_agreement(exported: Exported, limit: float, spread: float) -> None:
    """Check that logits and outside scores of a file are those of the model.

    Args:
        exported: the file.
        limit: the largest difference (`export.max_logit_difference`), for logits that spread by 1
            or less; for others, in proportion.
        spread: standard deviation of the model's logits.

    Raises:
        UserError: where they are not, or are missing or no numbers.
    """
    difference = exported.agreement.max_logit_difference
    outside = exported.agreement.max_outside_difference
    if outside is not None and not outside <= OUTSIDE_FACTOR * limit:
        raise UserError(
            f"{exported.file} differs from the PyTorch model by {outside:.3g} in an outside score; "
            f"{OUTSIDE_FACTOR} times export.max_logit_difference is allowed: raise it only if that "
            "is harmless, or set evaluate.outside_share: null."
        )
    allowed = limit * max(1.0, spread)
    if not difference <= allowed:
        raise UserError(
            f"{exported.file} differs from the PyTorch model by {difference:.3g} in a logit; "
            f"export.max_logit_difference allows {limit:g}, times the logits' spread of "
            f"{spread:.3g} where that is above 1: raise it only if that is harmless."
        )
