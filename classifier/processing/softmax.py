"""From logits to probabilities, and from these to answers. Needs NumPy only."""

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


def decide(
    probabilities: np.ndarray, classes: Sequence[str], reject_below: float | None
) -> list[str]:
    """Return the answer for each image: its most probable class, or `unknown`.

    Args:
        probabilities: float64 `(n, classes)`.
        classes: names of the classes, in the order of the columns.
        reject_below: confidence under which the answer is `unknown`; None always answers.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    names = np.array(classes, dtype=object)[predicted]
    names[confidence < (reject_below or 0.0)] = UNKNOWN
    return names.tolist()
