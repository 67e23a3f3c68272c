"""Temperature scaling: one number that the logits are divided by before softmax.

Guo et al., "On calibration of modern neural networks", arXiv 1706.04599. It is fitted on
the validation split and changes the confidence, never the predicted class.
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar

from classifier.processing.softmax import probabilities

# Outside these bounds the fit says more about the images than about the network.
LOWEST, HIGHEST = 0.05, 20.0
# Standard deviation of the prior of the temperature's logarithm, whose mean is 0.
_SPREAD = 0.5


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the most probable temperature (MAP), from LOWEST to HIGHEST, four decimals.

    Without a mistake in the split, the cross-entropy falls for ever as the temperature does, and in
    a small split it may by chance. So the logarithm of the temperature has a normal prior with mean
    0: it decides where there are few images, and a few dozen images outweigh it.

    Args:
        logits: float `(n, classes)`.
        labels: int `(n,)`; without images the temperature is 1.
    """
    if len(labels) == 0:
        return 1.0
    places = np.arange(len(labels))

    def misfit(logarithm: float) -> float:
        given = probabilities(logits, np.exp(logarithm))[places, labels]
        surprise = -np.log(np.maximum(given, np.finfo(np.float64).tiny)).sum()
        return float(surprise + (logarithm / _SPREAD) ** 2 / 2)

    found = minimize_scalar(
        misfit, bounds=(math.log(LOWEST), math.log(HIGHEST)), options={"xatol": 1e-7}
    )
    return round(math.exp(float(found.x)), 4)
