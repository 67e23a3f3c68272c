"""Outside score: how little an image looks like those of any class, from features and logits.

The score is that of ViM (Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", arXiv
2203.10807), changed in three places that a measurement asked for (docs/evaluation.md): features are
divided by their length before the principal subspace is found, the parts are added up in units of
their spread on validation images, and there is a third part. The parts are

- the residual: the length of what the subspace of the training features does not explain, large for
  images of another kind;
- the largest logit, small for images between the classes; and
- the divergence, large where the pretrained network sees something that it sees in no class
  (`kl_matching`); it is there where the backbone is frozen and its weights have a last layer.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from classifier.metrics.kl_matching import KlMatching

# Most directions of the subspace, and features for each: few suffice, and make a small file.
_MOST_DIRECTIONS, _FEATURES_PER_DIRECTION = 128, 10
# Weight of the logit, that of the residual being 1, and of the divergence beside both together.
_LOGIT_WEIGHT, _DIVERGENCE_WEIGHT = 2.0, 0.5
# Parts that differ by less differ by chance, and in float32 by rounding: logits and divergences, in
# nats, and residuals, in the length of an image's standardised features.
_LEAST_SPREAD, _LEAST_RESIDUAL_SPREAD = 0.01, 0.003
_SMALLEST = 1e-12


class OutsideScore(NamedTuple):
    """What the score is computed from; arrays float32.

    Attributes:
        mean: of the features of length 1, `(features,)`.
        scale: their standard deviations, `(features,)`.
        directions: orthonormal columns that span the principal subspace, `(features, k)`.
        weights: factors of the residual, of the largest logit and of the divergence, and a
            constant, `(4,)`.
        matching: what gives the divergence; None where there is none.
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray
    weights: np.ndarray
    matching: KlMatching | None = None

    def __call__(self, features: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return the outside scores: float64 `(n,)`.

        A validation image has 0 on average, and the standard deviation of validation images is 1,
        or less where they hardly differ.

        Args:
            features: of the images, float `(n, features)`.
            logits: of the images, float `(n, classes)`.
        """
        parts = [self.residuals(features), logits.max(axis=1), self.divergences(features)]
        return np.stack(parts, axis=1) @ self.weights[:3].astype(np.float64) + self.weights[3]

    def residuals(self, features: np.ndarray) -> np.ndarray:
        """Return the lengths of what the subspace leaves out: float64 `(n,)`."""
        shown = (_unit_length(features) - self.mean) / self.scale
        return np.linalg.norm(shown - (shown @ self.directions) @ self.directions.T, axis=1)

    def divergences(self, features: np.ndarray) -> np.ndarray:
        """Return those of the matching, or zeros without: float64 `(n,)`."""
        return np.zeros(len(features)) if self.matching is None else self.matching(features)


def fit_outside(
    features: np.ndarray,
    validation_features: np.ndarray,
    validation_logits: np.ndarray,
    matching: KlMatching | None = None,
) -> OutsideScore:
    """Return the score for these images.

    Args:
        features: of training images, float `(n, features)`, n > 1.
        validation_features: of validation images, which training did not fit.
        validation_logits: of the same images, float `(n, classes)`.
        matching: fitted to the training images.
    """
    shown = _unit_length(features)
    mean, scale = shown.mean(axis=0), shown.std(axis=0)
    # A feature that never changes in training says nothing about scale.
    typical = np.median(scale[scale > 0]) if (scale > 0).any() else 1.0
    scale = np.where(scale > typical / 1000, scale, typical)
    # A subspace of as many directions as images would leave nothing out.
    most = min(_MOST_DIRECTIONS, len(features) // 2)
    count = max(1, min(most, features.shape[1] // _FEATURES_PER_DIRECTION))
    directions = _principal_directions((shown - mean) / scale, count)
    unweighted = OutsideScore(
        mean.astype(np.float32),
        scale.astype(np.float32),
        directions.astype(np.float32),
        np.ones(4, np.float32),
        matching,
    )
    residuals = unweighted.residuals(validation_features)
    logits = validation_logits.max(axis=1)
    divergences = unweighted.divergences(validation_features)
    # Of the training images, the mean square of a standardised feature is 1.
    least_residual = _LEAST_RESIDUAL_SPREAD * np.sqrt(features.shape[1])
    factors = np.array(
        [
            1 / _spread(residuals, least_residual),
            -_LOGIT_WEIGHT / _spread(logits, _LEAST_SPREAD),
            0.0,
        ]
    )
    parts = np.stack([residuals, logits, divergences], axis=1)
    # The sum of two parts has no smaller spread than this, unless one of theirs was too small.
    factors /= _spread(parts @ factors, _LOGIT_WEIGHT - 1)
    if matching is not None:
        factors[2] = _DIVERGENCE_WEIGHT / _spread(divergences, _LEAST_SPREAD)
    scores = parts @ factors
    weights = np.array([*factors, -scores.mean()]) / _spread(scores, 1 - _DIVERGENCE_WEIGHT)
    return unweighted._replace(weights=weights.astype(np.float32))


def _unit_length(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return features / np.maximum(lengths, _SMALLEST)


def _principal_directions(centred: np.ndarray, count: int) -> np.ndarray:
    """Return the directions of largest variance: `(features, count)`."""
    images, features = centred.shape
    if images < features:
        # The smaller of the two Gram matrices has the same eigenvalues above zero.
        values, vectors = _largest(centred @ centred.T, count)
        return (centred.T @ vectors) / np.sqrt(np.maximum(values, _SMALLEST))
    return _largest(centred.T @ centred, count)[1]


def _largest(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues, in descending order, and their vectors, as columns."""
    last = len(matrix) - 1
    values, vectors = eigh(matrix, subset_by_index=(last - count + 1, last), driver="evr")
    return values[::-1], vectors[:, ::-1]


def _spread(values: np.ndarray, least: float) -> float:
    """Return the standard deviation, or `least` if it is smaller; 1 where all values are equal."""
    spread = float(np.std(values))
    return max(spread, least) if spread > _SMALLEST else 1.0
