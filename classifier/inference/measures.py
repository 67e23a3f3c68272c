"""Measures of an image and its answer, by which recorded answers are compared with the test split.

The export writes their values on the test split to `reference.json`; `classifier predict --json`
and `classifier serve --record` write them beside each answer; `classifier drift` compares.
"""

from typing import Any

import numpy as np

from classifier.processing.pixel_modes import LUMINANCE

REFERENCE = "reference.json"
# In this order: confidence and outside score of the answer, then measures of the image.
MEASURES = ("confidence", "outside", "brightness", "width", "height")
# Those that differ where several views are merged, while the reference values are of one view.
OF_ONE_VIEW = ("confidence", "outside")


def brightness(images: np.ndarray) -> np.ndarray:
    """Return the mean grey value of each image, 0 to 255: uint8 `(N, S, S, 3)` → float64 `(N,)`."""
    # A channel at a time takes a tenth of the time of all three together.
    sums = [images[..., channel].sum(axis=(1, 2), dtype=np.uint64) for channel in range(3)]
    return np.stack(sums, axis=1) @ np.array(LUMINANCE) / (images.shape[1] * images.shape[2])


def image_measures(pixels: np.ndarray, width: int, height: int) -> dict[str, Any]:
    """Return what is recorded of an image: its size in pixels, and its brightness.

    Args:
        pixels: as the split stage stores images, uint8 `(S, S, 3)`.
        width: of the upright original.
        height: of the upright original.
    """
    grey = float(brightness(pixels[np.newaxis])[0])
    return {"width": width, "height": height, "brightness": round(grey, 2)}
