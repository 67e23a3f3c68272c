"""Calibration (confidence against accuracy) and selective prediction (risk by coverage).

The confidence in an answer is the probability of the predicted class.
"""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """Answers in bins of confidence of equal width from 0 to 1: `(bins,)` each.

    Attributes:
        counts: images in the bin, int64.
        confidence: mean, float64; NaN in an empty bin.
        accuracy: mean, float64; NaN in an empty bin.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """The expected calibration error: mean distance of confidence and accuracy."""
        distances = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.counts * distances).sum() / self.counts.sum())


class RiskCoverage(NamedTuple):
    """Accuracy of the k most confident answers, for k from 1 to n: float64 `(n,)` each.

    Attributes:
        coverage: k / n.
        accuracy: of the k answers.
        threshold: the lowest confidence of the k answers.
    """

    coverage: np.ndarray
    accuracy: np.ndarray
    threshold: np.ndarray

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve: mean error rate over all coverages, 0 at best.

        Geifman, Uziel and El-Yaniv, arXiv 1805.08206.
        """
        return 1 - float(self.accuracy.mean())


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> Reliability:
    """Compare confidence with accuracy. probabilities: `(n, classes)`; labels: int `(n,)`, n > 0.

    Guo et al., "On calibration of modern neural networks", arXiv 1706.04599, equations 1 to 3:
    bin m of `bins` holds confidences in ((m - 1)/bins, m/bins].
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    counts = np.bincount(places, minlength=bins)
    sums = (np.bincount(places, weights=of, minlength=bins) for of in (confidence, right))
    divisors = np.where(counts > 0, counts, np.nan)
    return Reliability(counts, *(total / divisors for total in sums))


def risk_coverage_curve(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """Return the risk-coverage curve of selective prediction, risk being 1 - accuracy.

    confidence: float `(n,)`; right: bool `(n,)`, n > 0. El-Yaniv and Wiener, "On the foundations of
    noise-free selective classification", Journal of Machine Learning Research 11 (2010) 1605-1641.
    Answers of equal confidence count as their mean, so that their order does not matter.
    """
    order = np.argsort(-confidence, kind="stable")
    _, group = np.unique(-confidence[order], return_inverse=True)
    shares = np.bincount(group, weights=right[order]) / np.bincount(group)
    answered = np.arange(1, len(right) + 1)
    accuracy = shares[group].cumsum() / answered
    return RiskCoverage(answered / len(right), accuracy, confidence[order])
