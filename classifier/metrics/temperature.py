"""Confidence that can be believed: the temperature that logits are divided by before softmax.

Guo et al., "On calibration of modern neural networks", arXiv 1706.04599: one number, fitted on the
validation split, that changes no prediction but how sure of it the model says it is.
"""

import math
from collections.abc import Callable

import numpy as np

from classifier.processing.softmax import probabilities

# Outside these bounds the fit says more about the images than about the network.
LOWEST, HIGHEST = 0.05, 20.0
# What is known before an image is seen: the logarithm is about 0, give or take so much.
_SPREAD = 0.5


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes `labels` most probable: within the bounds, four decimals.

    logits: float `(n, classes)`; labels: int `(n,)`; n may be 0, which leaves the temperature 1.

    The cross-entropy of a split without a mistake falls without end as the temperature does, and
    that of a small split is close to it by chance. So a normal prior around 0 for the logarithm of
    the temperature is added: it decides where there is little to see, and gives way to a few dozen
    images that say otherwise.
    """
    if len(labels) == 0:
        return 1.0
    places = np.arange(len(labels))

    def misfit(logarithm: float) -> float:
        given = probabilities(logits, np.exp(logarithm))[places, labels]
        surprise = -np.log(np.maximum(given, np.finfo(np.float64).tiny)).sum()
        return float(surprise + (logarithm / _SPREAD) ** 2 / 2)

    return round(math.exp(_lowest_place(misfit, math.log(LOWEST), math.log(HIGHEST))), 4)


def _lowest_place(function: Callable[[float], float], low: float, high: float) -> float:
    """Of a function that falls and then rises, between `low` and `high`, to seven digits.

    Golden-section search (Kiefer, "Sequential minimax search for a maximum", 1953). SciPy has a
    faster one, but importing it takes longer than a second run of the train stage can spare.
    """
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-7:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2
