"""Find and group duplicates: equal files, equal pixels and near-duplicates."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from classifier.splitting.duplicates.candidate_pairs import Search
from classifier.splitting.duplicates.near_duplicates import near_pairs
from classifier.splitting.raw_images import RawImage

Kind = Literal["file", "pixels", "near"]
# Pairs on the sheet of duplicates.
MAX_SHOWN_PAIRS = 24


class Pair(NamedTuple):
    """Two duplicates, by row; equal images have similarity 1."""

    first: int
    second: int
    kind: Kind
    similarity: float


class Duplicates(NamedTuple):
    """The duplicates in a data set before anything is dropped.

    Attributes:
        images: All images; their indices are the rows of pairs and groups.
        pairs: All pairs of duplicates.
        groups: See `group_pairs`.
    """

    images: Sequence[RawImage]
    pairs: Sequence[Pair]
    groups: np.ndarray


def find_pairs(
    files: np.ndarray,
    pixels: np.ndarray,
    thumbnails: np.ndarray,
    similarity: float | None,
    search: Search,
) -> list[Pair]:
    """Return every pair of near-duplicates, and a pair of each copy and its first equal image.

    Args:
        files: Digests of the files, uint8 `(n, bytes)`.
        pixels: Digests of the stored images, uint8 `(n, bytes)`.
        thumbnails: See `thumbnails.grey_thumbnail`, uint8 `(n, SIDE, SIDE)`.
        similarity: Minimum of near-duplicates, see `near_pairs`. None: only equal images.
        search: How candidates for near-duplicates are found, see `candidate_pairs`.

    Raises:
        UserError: As in `near_pairs`.
    """
    first_of = _first_equal(pixels)
    first_file = _first_equal(files)
    same_file = first_file == first_file[first_of]
    pairs = [
        Pair(int(first_of[row]), int(row), "file" if same_file[row] else "pixels", 1.0)
        for row in np.flatnonzero(first_of != np.arange(len(first_of)))
    ]
    if similarity is not None:
        different = np.flatnonzero(first_of == np.arange(len(first_of)))
        near, similarities = near_pairs(thumbnails, similarity, search, different)
        pairs += [
            Pair(int(first), int(second), "near", float(value))
            for (first, second), value in zip(near, similarities, strict=True)
        ]
    return sorted(pairs)


def group_pairs(pairs: Sequence[Pair], size: int) -> np.ndarray:
    """Return the group of each of `size` images, int64 `(size,)`: 0 is no group, others from 1.

    Groups are the connected components of the pairs.
    """
    first, second = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    links = coo_array((np.ones(len(pairs), np.int8), (first, second)), shape=(size, size))
    _, parts = connected_components(links, directed=False)
    return number_groups(parts + 1)


def number_groups(parts: np.ndarray) -> np.ndarray:
    """Renumber groups, `(n,)`, from 1 in the order of their first members.

    A group with a single member becomes 0, and 0 (no group) stays 0.
    """
    values, first, inverse, counts = np.unique(
        parts, return_index=True, return_inverse=True, return_counts=True
    )
    shared = (counts > 1) & (values != 0)
    numbers = np.zeros(len(counts), np.int64)
    places = np.flatnonzero(shared)
    order = places[np.argsort(first[places])]
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers[inverse]


def redundant(images: Sequence[RawImage], groups: np.ndarray) -> np.ndarray:
    """Return the ascending rows of all images of each group except one: int64 `(m,)`.

    The image that is kept is from a predefined `test` split if there is one, otherwise from `val`,
    so that no test image is dropped because of a training image.
    """
    rank = {"test": 0, "val": 1, "train": 2, None: 2}
    order = sorted(
        np.flatnonzero(groups).tolist(), key=lambda row: (rank[images[row].predefined_split], row)
    )
    kept: set[int] = set()
    dropped = []
    for row in order:
        if groups[row] in kept:
            dropped.append(row)
        kept.add(groups[row])
    return np.array(sorted(dropped), np.int64)


def sort_for_people(images: Sequence[RawImage], pairs: Sequence[Pair]) -> list[Pair]:
    """Sort pairs for inspection: those of two classes first, then the least similar first."""

    def rank(pair: Pair) -> tuple[bool, float, Pair]:
        classes = {images[row].class_name for row in (pair.first, pair.second)}
        return len(classes) == 1, pair.similarity, pair

    return sorted(pairs, key=rank)


def _first_equal(digests: np.ndarray) -> np.ndarray:
    """Return for each row the first row with the same bytes: int64 `(n,)`."""
    keys = np.ascontiguousarray(digests).view(np.dtype((np.void, digests.shape[1])))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse.ravel()]
