"""The outside score as a part of the network, and the file that it travels in.

`metrics.outside` says what the score is. Every exported file computes it beside the logits.
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
    """A classifier that gives outside scores too.

    Images uint8 or float `(N, H, W, 3)` in 0..255 → logits `(N, classes)` and scores `(N,)`.
    """

    mean: Tensor
    scale: Tensor
    directions: Tensor
    weights: Tensor

    def __init__(self, classifier: Classifier, score: OutsideScore) -> None:
        super().__init__()
        self.classifier = classifier
        for name, array in score._asdict().items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits, float `(N, classes)`, and outside scores, float `(N,)`."""
        features = self.classifier.features(images)
        logits = self.classifier.head(features)
        return logits, self.score(features, logits)

    def score(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the outside scores, float `(N,)`, as `OutsideScore` does."""
        lengths = features.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        shown = (features / lengths - self.mean) / self.scale
        left = shown.square().sum(dim=1) - (shown @ self.directions).square().sum(dim=1)
        residual = left.clamp_min(0).sqrt()
        return self.weights[0] * residual + self.weights[1] * logits.amax(dim=1) + self.weights[2]


def with_outside(
    classifier: Classifier, score: OutsideScore | None
) -> Classifier | ScoredClassifier:
    """Return the classifier with outside scores, on its device; without `score`, as it is."""
    if score is None:
        return classifier
    return ScoredClassifier(classifier, score).to(classifier.mean.device).eval()


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
