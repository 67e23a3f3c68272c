"""Measure sizes, shapes, brightness, contrast and colour modes of the images."""

import numpy as np
import pandas as pd

from classifier.data.dataset import Dataset
from classifier.data.image_statistics import channel_statistics

_BINS = 40
_IMAGES_AT_ONCE = 4096


def brightness_and_contrast(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the grey values of each image: float64 `(N,)` each.

    thumbnails: uint8 `(N, SIDE, SIDE)`, see `thumbnails.grey_thumbnail`.
    """
    mean, deviation = np.empty(len(thumbnails)), np.empty(len(thumbnails))
    # NumPy takes 8 KB for each image whose deviation it computes.
    for start in range(0, len(thumbnails), _IMAGES_AT_ONCE):
        part = slice(start, start + _IMAGES_AT_ONCE)
        flat = thumbnails[part].reshape(len(thumbnails[part]), -1)
        mean[part], deviation[part] = flat.mean(axis=1), flat.std(axis=1)
    return mean, deviation


def measure_images(dataset: Dataset, thumbnails: np.ndarray) -> dict[str, np.ndarray]:
    """Return measures by name, float64 `(N,)` each.

    width, height: of the file, in pixels. aspect_ratio: width divided by height. brightness,
    contrast: mean and standard deviation of the grey values, 0 to 255.
    """
    width, height = (dataset.manifest[side].to_numpy(np.float64) for side in ("width", "height"))
    brightness, contrast = brightness_and_contrast(thumbnails)
    return {
        "width": width,
        "height": height,
        "aspect_ratio": width / height,
        "brightness": brightness,
        "contrast": contrast,
    }


def measures_table(measures: dict[str, np.ndarray], dataset: Dataset) -> pd.DataFrame:
    """Return columns `measure, unit, lowest, median, highest` of each measure.

    The last rows are mean and standard deviation of each channel of the training split, 0 to 255:
    single values in the column median.
    """
    units = {"width": "pixels", "height": "pixels", "aspect_ratio": "ratio"}
    rows = []
    for name, values in measures.items():
        three = np.quantile(values, [0, 0.5, 1], method="closest_observation")
        rows.append((name, units.get(name, "grey levels"), *(_short(value) for value in three)))
    mean, std = channel_statistics(dataset.images, dataset.rows("train"))
    for name, part in (("mean", mean), ("standard deviation", std)):
        for channel, value in zip(("red", "green", "blue"), part, strict=True):
            rows.append((f"{channel}, {name}", "levels", "", _short(value), ""))
    return pd.DataFrame(rows, columns=["measure", "unit", "lowest", "median", "highest"])


def histograms_table(measures: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return columns `measure, low, high, images`: up to 40 rows (bins) for each measure.

    width and height have the same bins.
    """
    sides = np.concatenate([measures["width"], measures["height"]])
    rows = []
    for name, values in measures.items():
        edges = _bin_edges(sides if name in ("width", "height") else values)
        counts, _ = np.histogram(values, edges)
        bounds = [_short(edge) for edge in edges]
        rows += [(name, *row) for row in zip(bounds[:-1], bounds[1:], counts, strict=True)]
    return pd.DataFrame(rows, columns=["measure", "low", "high", "images"])


def modes_table(modes: np.ndarray) -> pd.DataFrame:
    """Return columns `mode, images`: the colour modes of the files, the most frequent first."""
    names, counts = np.unique(modes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return pd.DataFrame({"mode": names[order], "images": counts[order]})


def _bin_edges(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])


def _short(value: float) -> str:
    return f"{round(float(value), 3):.10g}"
