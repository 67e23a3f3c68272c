"""From logits to probabilities; NumPy is all that this needs."""

from typing import Literal

import numpy as np

# The answer for an image whose prediction is not confident enough.
UNKNOWN = "unknown"
Merge = Literal["probabilities", "log_probabilities"]


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax over the last axis of `logits / temperature`, in float64."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def merge_views(logits: np.ndarray, temperature: float, merge: Merge) -> np.ndarray:
    """One answer from several views: logits `(views, n, classes)` to float64 `(n, classes)`.

    `probabilities` is the arithmetic mean of the views' probabilities, `log_probabilities` the
    geometric one, scaled to a sum of 1.
    """
    if merge == "probabilities":
        return probabilities(logits, temperature).mean(axis=0)
    # A view's log-probabilities are its logits less one number an image, which softmax removes.
    return probabilities(logits.mean(axis=0, dtype=np.float64), temperature)
