"""Occlusion maps: image regions that support a class, found by covering one after the other.

Zeiler and Fergus, "Visualizing and understanding convolutional networks", arXiv 1311.2901. This
needs the network's answers only, so that it explains every exported file, in eight bits too, with
NumPy alone. `evaluation.grad_cam` needs PyTorch's gradients, and one pass instead of 64.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # ONNX Runtime is slow to import, which `blend` does not need.
    from classifier.inference.onnx_runtime import Predictor

# Squares a side that are covered in turn; each is twice as wide as its share of the image.
_GRID = 8
# Several at once are faster, and few need little memory.
_AT_ONCE = 8
# Red, green and blue by heat: red, then yellow. The hottest place keeps so much of its grey.
_COLOURS = ((215, 225, 255), (25, 90, 235), (30, 20, 60))
_KEPT = 0.3


def occlusion_map(
    predictor: "Predictor", image: np.ndarray, index: int, fill: tuple[float, float, float]
) -> np.ndarray:
    """Return how much the log odds of a class fall when each place is covered.

    Args:
        predictor: the model.
        image: uint8 `(input_size, input_size, 3)`.
        index: of the class.
        fill: the colour that covers a place, in 0..255, such as the mean of the training images.

    Returns:
        float32 `(input_size, input_size)` in 0..1: the place that costs the most has 1, and all are
        0 where covering costs nothing anywhere.
    """
    side = len(image)
    centres = (np.arange(_GRID) + 0.5) * side / _GRID
    low = np.maximum(np.floor(centres - side / _GRID), 0).astype(int)
    high = np.minimum(np.ceil(centres + side / _GRID), side).astype(int)
    squares = [
        (slice(low[row], high[row]), slice(low[column], high[column]))
        for row in range(_GRID)
        for column in range(_GRID)
    ]
    covered = np.repeat(image[np.newaxis], len(squares), axis=0)
    for variant, square in zip(covered, squares, strict=True):
        variant[square] = np.rint(fill)
    before = _log_odds(predictor(image[np.newaxis]).logits, index)[0]
    parts = np.split(covered, range(_AT_ONCE, len(covered), _AT_ONCE))
    after = np.concatenate([_log_odds(predictor(part).logits, index) for part in parts])
    lost, times = np.zeros((2, side, side))
    for square, loss in zip(squares, np.maximum(before - after, 0), strict=True):
        lost[square] += loss
        times[square] += 1
    heat = lost / times
    return (heat / max(heat.max(), np.finfo(float).tiny)).astype(np.float32)


def blend(images: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draw heat maps over the images: grey, red for warm places, yellow for hot ones.

    Args:
        images: uint8 `(N, H, W, 3)`.
        heat: float `(N, H, W)` in 0..1.

    Returns:
        uint8 `(N, H, W, 3)`.
    """
    grey = images.mean(axis=3, keepdims=True)
    colour = np.stack([np.interp(heat, (0, 0.5, 1), levels) for levels in _COLOURS], axis=-1)
    share = (1 - _KEPT) * heat[..., None]
    return np.rint(grey * (1 - share) + colour * share).astype(np.uint8)


def _log_odds(logits: np.ndarray, index: int) -> np.ndarray:
    """Return the log odds of the class against all others: float64 `(N,)`."""
    logits = logits.astype(float)
    others = np.delete(logits, index, axis=1)
    return logits[:, index] - np.logaddexp.reduce(others, axis=1)
