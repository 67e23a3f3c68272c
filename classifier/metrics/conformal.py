"""Split conformal prediction: sets of classes that hold the true one with a given probability.

The score of an image is 1 minus the probability of its true class (LAC: Sadinle, Lei and
Wasserman, arXiv 1609.00451), which gives the smallest sets on average. Quantiles of a class of its
own (Vovk, "Conditional validity of inductive conformal predictors", 2012) hold the coverage in
that class, not only on average over all of them.
"""

from typing import NamedTuple

import numpy as np


class SetThresholds(NamedTuple):
    """Probability from which on a class is in the set.

    Attributes:
        values: float64 `(classes,)`.
        own: whether the class has images enough for a quantile of its own, so that the coverage
            holds in it, bool `(classes,)`. The others share one over the images of all classes, so
            that their coverage holds on average only.
    """

    values: np.ndarray
    own: np.ndarray


def fewest_images(coverage: float) -> int:
    """Return the number of images from which on a quantile says more than "all classes"."""
    return int(np.ceil(round(1 / (1 - coverage), 9))) - 1


def set_thresholds(probabilities: np.ndarray, labels: np.ndarray, coverage: float) -> SetThresholds:
    """Return the thresholds for a coverage.

    Where some classes share a quantile, no threshold is above it. The average over all classes
    needs that: what the shared quantile covers too much in easy classes makes up for hard ones.

    Args:
        probabilities: of calibration images, float64 `(n, classes)`.
        labels: their true classes, int64 `(n,)`.
        coverage: share of images whose set holds the true class, above 0 and below 1.
    """
    given = probabilities[np.arange(len(labels)), labels]
    shared = _threshold(given, coverage)
    classes = range(probabilities.shape[1])
    own = np.array([np.sum(labels == label) >= fewest_images(coverage) for label in classes])
    most = 1.0 if own.all() else shared
    values = [
        min(_threshold(given[labels == label], coverage), most) if own[label] else shared
        for label in classes
    ]
    return SetThresholds(np.array(values), own)


def _threshold(given: np.ndarray, coverage: float) -> float:
    """Return the probability that all but a share of 1 - coverage of true classes reach.

    Of n images, the ceil((n + 1) * coverage)-th smallest score counts; where n is too small for
    that, every class is in the set.
    """
    # Rounded, since 20 * 0.05 may be a little less than 1.
    rank = int(np.floor(round((len(given) + 1) * (1 - coverage), 9)))
    return float(np.sort(given)[rank - 1]) if rank else 0.0
