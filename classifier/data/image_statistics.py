"""Statistics of the training images: channel means, and class weights."""

import numpy as np
from PIL import Image

from classifier.data.dataset import Dataset
from classifier.data.stored_images import Images

_IMAGES_AT_ONCE = 256
Channels = tuple[float, float, float]


def channel_statistics(images: Images, rows: np.ndarray) -> tuple[Channels, Channels]:
    """Return mean and standard deviation of red, green and blue over `images[rows]`, in 0..255.

    images: uint8 `(N, S, S, 3)`, read in parts. Histograms are added up, so the result is exact.
    """
    counts = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(rows), _IMAGES_AT_ONCE):
        chosen = images[rows[start : start + _IMAGES_AT_ONCE]]
        # One tall image, so that Pillow counts all channels in one pass.
        tall = Image.fromarray(chosen.reshape(-1, images.shape[2], 3))
        counts += np.reshape(tall.histogram(), (3, 256))
    levels = np.arange(256)
    size = counts.sum(axis=1)
    mean = counts @ levels / size
    variance = counts @ levels**2 / size - mean**2
    # A channel with a single value must not lead to a division by zero.
    std = np.sqrt(np.maximum(variance, 1.0))
    return _three(mean), _three(std)


def _three(values: np.ndarray) -> Channels:
    red, green, blue = (round(float(value), 4) for value in values)
    return red, green, blue


def balanced_weights(dataset: Dataset) -> np.ndarray:
    """Return class weights in inverse proportion to their training images: float32 `(K,)`.

    As scikit-learn's `class_weight="balanced"`: n_samples / (n_classes * n_samples of the class).
    A class without training images has weight 0.
    """
    counts = dataset.class_counts("train")
    weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0).astype(np.float32)
