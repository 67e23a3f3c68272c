"""What the network gives beside logits, and the file that the outside score travels in.

`metrics.outside` says what the outside score is. Every exported file computes it beside the logits,
and on request how similar an image is to some training images (`export.similar_images`).
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.core.files import write_bytes
from classifier.metrics.outside import OutsideScore
from classifier.models.network import Classifier

OUTSIDE_FILE = "outside.safetensors"


class ScoredClassifier(nn.Module):
    """A classifier that gives outside scores too, or similarities, or both.

    Images uint8 or float `(N, H, W, 3)` in 0..255 → logits `(N, classes)`, scores `(N,)` and
    similarities `(N, m)`, those that there are.

    Attributes:
        has_score: whether it gives outside scores.
        has_similarity: whether it gives similarities.
    """

    mean: Tensor
    scale: Tensor
    directions: Tensor
    weights: Tensor
    similar: Tensor

    def __init__(
        self, classifier: Classifier, score: OutsideScore | None, similar: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.has_score, self.has_similarity = score is not None, similar is not None
        arrays = {} if score is None else score._asdict()
        arrays |= {} if similar is None else {"similar": similar}
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits, float `(N, classes)`, and what `beside` gives."""
        features = self.classifier.features(images)
        logits = self.classifier.head(features)
        return logits, *self.beside(features, logits)

    def beside(self, features: Tensor, logits: Tensor) -> list[Tensor]:
        """Return outside scores, float `(N,)`, as `OutsideScore` does, and similarities.

        A similarity is the cosine of the features of an image and of a training image: float
        `(N, m)`, -1 to 1.
        """
        lengths = features.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        directed = features / lengths
        given = [self._score(directed, logits)] if self.has_score else []
        return [*given, directed @ self.similar.T] if self.has_similarity else given

    def _score(self, directed: Tensor, logits: Tensor) -> Tensor:
        shown = (directed - self.mean) / self.scale
        left = shown.square().sum(dim=1) - (shown @ self.directions).square().sum(dim=1)
        residual = left.clamp_min(0).sqrt()
        return self.weights[0] * residual + self.weights[1] * logits.amax(dim=1) + self.weights[2]


def with_scores(
    classifier: Classifier, score: OutsideScore | None, similar: np.ndarray | None = None
) -> Classifier | ScoredClassifier:
    """Return the classifier with what it gives beside logits, on its device.

    Args:
        classifier: returned as it is where there is nothing to add.
        score: the outside score.
        similar: features of training images, each of length 1, float32 `(m, features)`.
    """
    if score is None and similar is None:
        return classifier
    return ScoredClassifier(classifier, score, similar).to(classifier.mean.device).eval()


def save_outside(score: OutsideScore | None, path: Path) -> None:
    """Write the file; without a score it holds no tensors. Same score, same bytes."""
    tensors = {} if score is None else score._asdict()
    write_bytes(path, save({name: np.ascontiguousarray(one) for name, one in tensors.items()}))


def load_outside(path: Path) -> OutsideScore | None:
    """Read the file; None where the run has no outside score.

    Raises:
        UserError: where it is missing or damaged.
    """
    try:
        tensors = load(path.read_bytes())
        return OutsideScore(**tensors) if tensors else None
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the evaluate stage, or `dvc checkout`.") from None
    except (SafetensorError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({str(error).splitlines()[0]}): run the evaluate stage again, or "
            "`dvc checkout`."
        ) from None
