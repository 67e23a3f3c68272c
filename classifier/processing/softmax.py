"""From logits to probabilities, of one view or of several. Needs NumPy only."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

# The answer for an image whose prediction is not confident enough.
UNKNOWN = "unknown"
# The file that says how confident is enough; `processing.decision` has its schema.
DECISION = "decision.json"
Merge = Literal["probabilities", "log_probabilities"]


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax over the last axis of `logits / temperature`, in float64."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def merge_views(logits: np.ndarray, temperature: float, merge: Merge) -> np.ndarray:
    """Merge the views of each image: logits `(views, n, classes)` to float64 `(n, classes)`.

    `probabilities` is the arithmetic mean of the views' probabilities, `log_probabilities` the
    geometric mean, scaled to a sum of 1.
    """
    if merge == "probabilities":
        return probabilities(logits, temperature).mean(axis=0)
    # The log-probabilities of a view are its logits minus a constant per image, which softmax
    # removes.
    return probabilities(logits.mean(axis=0, dtype=np.float64), temperature)


def mean_of_views(values: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the mean over the views of what a network gives beside logits: float64 `(n, ...)`.

    values: of each view, float32 `(n, ...)`; None where the network gives none.
    """
    given = [view for view in values if view is not None]
    return np.stack(given).astype(np.float64).mean(axis=0) if given else None
