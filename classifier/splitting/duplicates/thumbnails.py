"""Reduce images to the small grey versions by which near-duplicates are found."""

import numpy as np
from PIL import Image

SIDE = 32


def grey_thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Reduce an image, uint8 `(H, W, 3)`, to grey uint8 `(SIDE, SIDE)` by averaging pixels."""
    grey = Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))
