"""Compare two samples: distributions of numbers, and shares of classes."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.stats import MonteCarloMethod, chi2_contingency, ks_2samp, kstwobign

from classifier.core.random import stream
from classifier.metrics.intervals import wilson

_DRAWS = 500
_TABLES = 9999
_FEW = 10  # answers for which the bootstrap is too sure


class ShiftTest(NamedTuple):
    """The result of a test whether two samples are of one distribution.

    Attributes:
        distance: largest difference of the distribution functions (Kolmogorov-Smirnov), or the
            total variation distance of class shares; 0 to 1.
        p_value: probability of such a distance, or a larger one, without a change.
    """

    distance: float
    p_value: float


class Shares(NamedTuple):
    """Shares of the classes, float64 `(classes,)` each, with the bounds of a 95% interval."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def distribution_test(before: np.ndarray, now: np.ndarray) -> ShiftTest:
    """Compare two samples by the Kolmogorov-Smirnov test."""
    result: Any = ks_2samp(before, now, method="asymp")
    # SciPy's exact p-value fails near 1, for it becomes greater by rounding.
    if result.pvalue < 0.5:
        result = ks_2samp(before, now)
    return ShiftTest(float(result.statistic), float(result.pvalue))


def counts_test(before: np.ndarray, now: np.ndarray) -> ShiftTest:
    """Compare numbers of images of each class, int `(classes,)`, by the chi-squared test.

    Where a class is rare, the test draws random tables, whose p-value is at least 1 in 10,000.
    """
    table = np.stack([before, now])[:, (before + now) > 0]
    distance = float(np.abs(before / before.sum() - now / now.sum()).sum() / 2)
    if table.shape[1] < 2:
        return ShiftTest(distance, 1.0)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    draws = MonteCarloMethod(n_resamples=_TABLES, rng=stream("drift_tables"))
    method = None if expected.min() >= 5 else draws
    result: Any = chi2_contingency(table, correction=False, method=method)
    return ShiftTest(distance, float(result.pvalue))


def holm(p_values: list[float]) -> list[float]:
    """Return p-values that hold for all tests together (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return adjusted


def complete_change(before: int, now: int) -> ShiftTest:
    """Compare two samples of these sizes of which each value differs from all of the other."""
    return distribution_test(np.zeros(before), np.ones(now))


def noticeable_distance(before: int, now: int, level: float) -> float:
    """Return the Kolmogorov-Smirnov distance that is noticed nine times out of ten.

    It is the critical distance of two samples of these sizes, and 1.28 standard deviations (at
    most) of the difference of two distribution functions at the place where it is largest. Above
    1, which no distance is, no change is surely noticed but a nearly complete one.
    """
    scale = np.sqrt(1 / before + 1 / now)
    return float(scale * (kstwobign.isf(level) + 1.2816 / 2))


def label_shares(confusion: np.ndarray, predicted: np.ndarray, seed: int = 0) -> Shares:
    """Estimate the shares of the true classes from predictions, corrected by the confusion matrix.

    Black-box shift estimation (Lipton, Wang and Smola 2018, arXiv 1802.03916), with shares of at
    least 0 and the bootstrap for the intervals. It holds where images of a class look as before.
    Resamples hardly ever hold a class that few answers name, or lack one that few do not: of these
    classes, the intervals hold Wilson's of the same share of the answers.

    Args:
        confusion: images of each actual class (rows) by predicted class (columns) in the test
            split, int `(classes, classes)`.
        predicted: of the new images, how many were taken for each class, int `(classes,)`.
        seed: of the bootstrap.
    """
    draws = stream("drift_bootstrap", seed)
    sizes = int(confusion.sum()), int(predicted.sum())
    old, new = confusion.ravel() / sizes[0], predicted / sizes[1]
    resampled = [
        _corrected(
            draws.multinomial(sizes[0], old).reshape(confusion.shape),
            draws.multinomial(sizes[1], new),
        )
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    estimate = _corrected(confusion, predicted)
    lowest, highest = wilson(estimate * sizes[1], np.full(len(estimate), sizes[1]))
    few = np.minimum(estimate, 1 - estimate) * sizes[1] < _FEW
    low, high = np.where(few, np.minimum(low, lowest), low), np.maximum(high, few * highest)
    return Shares(estimate, low, high)


def _corrected(confusion: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    joint = confusion.T / confusion.sum()
    weights, _ = nnls(joint, predicted / predicted.sum())
    shares = weights * joint.sum(axis=0)
    return shares / shares.sum() if shares.sum() > 0 else predicted / predicted.sum()
