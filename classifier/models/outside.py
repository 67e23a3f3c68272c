"""What the network gives beside logits, and the file that the outside score travels in.

`metrics.outside` says what the outside score is. Every exported file computes it beside the logits,
and on request how similar an image is to some training images (`export.similar_images`).
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn.functional import linear

from classifier.core.errors import UserError, first_line
from classifier.core.files import write_bytes
from classifier.metrics.kl_matching import KlMatching
from classifier.metrics.outside import OutsideScore
from classifier.models.network import Classifier
from classifier.processing.made_for import check_made_for

OUTSIDE_FILE = "outside.safetensors"
_BELONGS_TO = "model"
# What the names of the matching's tensors begin with; how many weights a score has.
_MATCHING, _WEIGHTS = "matching.", 4


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
    matching: "_Matching | None"

    def __init__(
        self, classifier: Classifier, score: OutsideScore | None, similar: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.has_score, self.has_similarity = score is not None, similar is not None
        arrays = {} if similar is None else {"similar": similar}
        matching = None
        if score is not None:
            *values, matching = score
            arrays |= dict(zip(score._fields, values, strict=False))
        _register(self, arrays)
        self.matching = None if matching is None else _Matching(matching)

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
        given = [self._score(features, directed, logits)] if self.has_score else []
        return [*given, directed @ self.similar.T] if self.has_similarity else given

    def _score(self, features: Tensor, directed: Tensor, logits: Tensor) -> Tensor:
        shown = (directed - self.mean) / self.scale
        # The difference of two squares would lose all digits where little is left.
        # `linear` takes the directions as they are; ONNX would get a transposed copy besides.
        left = shown - linear(shown @ self.directions, self.directions)
        residual = left.square().sum(dim=1).sqrt()
        weights = self.weights
        score = weights[0] * residual + weights[1] * logits.amax(dim=1) + weights[3]
        return score if self.matching is None else score + weights[2] * self.matching(features)


class _Matching(nn.Module):
    """Features `(N, features)` → divergences `(N,)`, as `KlMatching` gives them."""

    weight: Tensor
    scale: Tensor
    bias: Tensor
    templates: Tensor

    def __init__(self, matching: KlMatching) -> None:
        super().__init__()
        _register(self, matching._asdict())

    def forward(self, features: Tensor) -> Tensor:
        logits = features @ self.weight.to(features.dtype).T * self.scale + self.bias
        logs = logits.log_softmax(dim=1)
        shares = logs.exp()
        return (shares * logs).sum(dim=1) - (shares @ self.templates.T).amax(dim=1)


def _register(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        module.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))


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


def save_outside(score: OutsideScore | None, path: Path, model: str) -> None:
    """Write the file; without a score it holds no tensors. Same arguments, same bytes.

    model: digest of the model that the score is of (`Bundle.digest`).
    """
    tensors: dict[str, np.ndarray] = {}
    if score is not None:
        *values, matching = score
        tensors |= dict(zip(score._fields, values, strict=False))
        named = {} if matching is None else matching._asdict()
        tensors |= {_MATCHING + name: array for name, array in named.items()}
    contiguous = {name: np.ascontiguousarray(one) for name, one in tensors.items()}
    write_bytes(path, save(contiguous, metadata={_BELONGS_TO: model}))


def load_outside(path: Path, model: str) -> OutsideScore | None:
    """Read the file; None where the run has no outside score.

    model: digest of the model that the score is used for (`Bundle.digest`).

    Raises:
        UserError: where it is missing, damaged, of another model, or of an older version of this
            project.
    """
    try:
        with safe_open(path, "np") as file:
            belongs_to = (file.metadata() or {}).get(_BELONGS_TO)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        check_made_for(model, belongs_to, path, "evaluate")
        if not tensors:
            return None
        named = {
            name.removeprefix(_MATCHING): tensors.pop(name)
            for name in [*tensors]
            if name.startswith(_MATCHING)
        }
        score = OutsideScore(**tensors, matching=KlMatching(**named) if named else None)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run the evaluate stage, or fetch it with `dvc pull`."
        ) from None
    except (SafetensorError, TypeError) as error:
        raise _damaged(path, first_line(error)) from None
    if score.weights.shape != (_WEIGHTS,):
        raise _damaged(path, f"{score.weights.size} weights instead of {_WEIGHTS}")
    return score


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is damaged ({reason}): run the evaluate stage again, or `dvc checkout`."
    )
