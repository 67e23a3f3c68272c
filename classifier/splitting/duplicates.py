"""Which images of a data set show the same: equal files, equal pixels, or nearly the same."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from classifier.splitting.assignment import Located
from classifier.splitting.fingerprints import near_pairs

Kind = Literal["file", "pixels", "near"]


# Pairs on the sheet.
SHOWN = 24


class Pair(NamedTuple):
    """Two images that show the same, by row; similarity is 1 where they are equal."""

    first: int
    second: int
    kind: Kind
    similarity: float


class Duplicates(NamedTuple):
    """What shows the same in a data set, before anything is dropped.

    images: all of them; pairs and groups count them from 0. groups: see `group_pairs`.
    thumbnails: the images of `telling_pairs`, by row, as they are stored.
    """

    images: Sequence[Located]
    pairs: Sequence[Pair]
    groups: np.ndarray
    thumbnails: dict[int, np.ndarray]


def find_pairs(
    files: np.ndarray, pixels: np.ndarray, prints: np.ndarray, similarity: float | None
) -> list[Pair]:
    """Every pair of near duplicates, and each copy beside the first of its equals, by row.

    files, pixels: digests of the files and of the stored images, uint8 `(n, bytes)`.
    prints: fingerprints, uint8 `(n, SIDE, SIDE)`. similarity: see `near_pairs`; None leaves near
    duplicates out. Raises UserError as `near_pairs` does.
    """
    first_of = _first_equal(pixels)
    # A file can hold what another does with other pixels stored, but equal files cannot.
    same_file = _first_equal(files)
    pairs = [
        Pair(int(first), row, "file" if same_file[row] == same_file[first] else "pixels", 1.0)
        for row, first in enumerate(first_of)
        if first != row
    ]
    if similarity is not None:
        different = np.flatnonzero(first_of == np.arange(len(first_of)))
        near, similarities = near_pairs(prints[different], similarity)
        pairs += [
            Pair(int(first), int(second), "near", float(value))
            for (first, second), value in zip(different[near], similarities, strict=True)
        ]
    return sorted(pairs)


def group_pairs(pairs: Sequence[Pair], size: int) -> np.ndarray:
    """The group of each of `size` images, int64 `(size,)`: 0 alone, others counted from 1.

    Who is in a pair is in one group, and so are those who are only joined by others.
    """
    first, second = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    links = coo_array((np.ones(len(pairs), np.int8), (first, second)), shape=(size, size))
    _, parts = connected_components(links, directed=False)
    return number_groups(parts + 1)


def number_groups(parts: np.ndarray) -> np.ndarray:
    """Numbers of groups, `(n,)`, as numbers from 1 by their first members, 0 for a single one.

    The number 0 stays 0, whoever has it.
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


def superfluous(images: Sequence[Located], groups: np.ndarray) -> np.ndarray:
    """All images of each group but one, which is of `test` or else `val`, where these are given.

    So no test image gives way to a training image. Ascending rows, int64 `(m,)`.
    """
    rank = {"test": 0, "val": 1, "train": 2, None: 2}
    order = sorted(np.flatnonzero(groups).tolist(), key=lambda row: (rank[images[row].given], row))
    kept: set[int] = set()
    dropped = []
    for row in order:
        if groups[row] in kept:
            dropped.append(row)
        kept.add(groups[row])
    return np.array(sorted(dropped), np.int64)


def telling_pairs(images: Sequence[Located], pairs: Sequence[Pair]) -> list[Pair]:
    """At most SHOWN pairs to look at: of two classes first, and then the least similar ones."""

    def rank(pair: Pair) -> tuple[bool, float, Pair]:
        classes = (images[row].class_name for row in (pair.first, pair.second))
        return len(set(classes)) == 1, pair.similarity, pair

    return sorted(pairs, key=rank)[:SHOWN]


def _first_equal(digests: np.ndarray) -> np.ndarray:
    """The first row that holds the same bytes as each row: int64 `(n,)`."""
    keys = np.ascontiguousarray(digests).view(np.dtype((np.void, digests.shape[1])))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse.ravel()]
