"""Find images that are unlike the others of their class, such as a placeholder among photos.

A web page that has lost a photo often answers with a picture that says so: a GIF or a small or
nearly empty image, which would be trained on under the photo's label.
"""

from collections import Counter

import numpy as np

from classifier.data.dataset import Dataset

# Of fewer images, nobody can say what is usual.
_MIN_IMAGES = 5
# An image is odd where at most this share of its class is like it.
_MOST_ODD = 0.1
# Share of the median number of pixels; at a sixteenth, the sides are a quarter as long.
_SMALL = 1 / 16
# An image is nearly empty where this share of it has one grey value, give or take _SAME_GREY, and
# the usual image of its class does not come near to it.
_EMPTY, _USUALLY_EMPTY, _SAME_GREY = 0.8, 0.5, 1
_IMAGES_AT_ONCE = 4096


def odd_images(
    dataset: Dataset, modes: np.ndarray, thumbnails: np.ndarray
) -> list[tuple[str, str]]:
    """Return path and warning of each image whose mode, size or emptiness is odd in its class.

    Args:
        dataset: The data set, of `N` images.
        modes: Colour mode of each image, str `(N,)`.
        thumbnails: uint8 `(N, SIDE, SIDE)`, see `thumbnails.grey_thumbnail`.
    """
    manifest = dataset.manifest
    sizes = manifest[["width", "height"]].to_numpy()
    found: list[tuple[int, str]] = []
    for label in range(len(dataset.classes)):
        rows = np.flatnonzero(dataset.labels == label)
        if len(rows) < _MIN_IMAGES:
            continue
        of_class = [f"{width} x {height}" for width, height in sizes[rows]]
        found += _unlike_most(rows, "colour mode", modes[rows].tolist())
        found += _unlike_most(rows, "size", of_class) or _small(rows, sizes[rows])
        found += _nearly_empty(rows, thumbnails)
    paths = manifest["path"].tolist()
    return [(paths[row], warning) for row, warning in sorted(found)]


def _unlike_most(rows: np.ndarray, what: str, values: list[str]) -> list[tuple[int, str]]:
    """Return the images whose value is another one than that of nearly all others."""
    (usual, count), *_ = Counter(values).most_common(1)
    others = len(values) - count
    if not 0 < others <= max(1, _MOST_ODD * len(values)):
        return []
    return [
        (
            int(row),
            f"{what} {value}, where {count} of {len(values)} images of its class have {usual}",
        )
        for row, value in zip(rows, values, strict=True)
        if value != usual
    ]


def _small(rows: np.ndarray, sizes: np.ndarray) -> list[tuple[int, str]]:
    areas = sizes.prod(axis=1)
    small = np.flatnonzero(areas < _SMALL * np.median(areas))
    if len(small) > max(1, _MOST_ODD * len(rows)):
        return []
    return [
        (int(rows[i]), f"size {sizes[i][0]} x {sizes[i][1]}, far smaller than most of its class")
        for i in small
    ]


def _nearly_empty(rows: np.ndarray, thumbnails: np.ndarray) -> list[tuple[int, str]]:
    usually, empty = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for start in range(0, len(rows), _IMAGES_AT_ONCE):
        part = slice(start, start + _IMAGES_AT_ONCE)
        greys = np.sort(thumbnails[rows[part]].reshape(len(rows[part]), -1), axis=1, kind="stable")
        usually[part] = _has_one_grey(greys, _USUALLY_EMPTY)
        empty[part] = _has_one_grey(greys, _EMPTY)
    if usually.mean() > 0.5:
        return []
    return [
        (int(rows[i]), f"nearly empty: at least {_EMPTY:.0%} of it has one grey value")
        for i in np.flatnonzero(empty)
    ]


def _has_one_grey(greys: np.ndarray, share: float) -> np.ndarray:
    """Return whether this share of each row of sorted grey values is about equal: bool `(n,)`."""
    length = int(share * greys.shape[1])
    spread = greys[:, length - 1 :] - greys[:, : greys.shape[1] - length + 1]
    return spread.min(axis=1) <= 2 * _SAME_GREY
