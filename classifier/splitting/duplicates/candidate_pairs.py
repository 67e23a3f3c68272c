"""Find candidates for near-duplicates: pairs of images whose coarse structure agrees.

`exact` compares each image with each other one, in blocks. `index` compares it with those alone
that an inverted file (Sivic and Zisserman, "Video Google", ICCV 2003; here that of faiss) puts
near it. It misses some pairs, and finds no others.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.core.executors import Executor
from classifier.core.random import stream

Search = Literal["exact", "index"]
# Vectors hold whole numbers, and their length is about this: sums in a matrix product are exact in
# float32 in any order, so that every machine finds the same pairs.
UNIT = 1024.0
# Minimum product of two vectors, a correlation of 0.7; the details of other pairs are not compared.
# Nearly all of CIFAR-10's pairs whose details agree are well above it, and less than one pair per
# image passes it.
_LEAST = math.ceil(0.7 * UNIT**2)
# With more pairs per image than this, all images look alike, and similarity finds no copies.
_MOST_PAIRS = 40
# Number of images from which the index is much faster, see docs/scale.md.
INDEX_PAYS = 200_000
# Images of one task, of one block of it, and images that such a block is compared with at a time.
_ROWS_A_TASK, _ROWS_AT_ONCE, _COLUMNS_AT_ONCE = 4096, 512, 8192
# Lists of the index for n images: this times the square root of n. An image is compared with those
# in so many of the lists that are nearest to it.
_LISTS, _LISTS_SEARCHED = 4, 32
_INDEX_SEED = 0


class Rows(NamedTuple):
    """A task: find the pairs whose first images are these rows of a file of vectors.

    Attributes:
        vectors: Path of a `.npy` file, float32 `(n, d)`.
        index_file: Path of the index of all vectors; None to compare all with all.
        first: First row.
        last: The row after the last one.
        most: Maximum number of pairs of all images.
    """

    vectors: str
    index_file: str | None
    first: int
    last: int
    most: int


def count_tasks(size: int) -> int:
    """Return the number of tasks in which pairs of `size` images are found."""
    return -(-size // _ROWS_A_TASK)


def find_candidates(vectors: Path, search: Search, executor: Executor) -> np.ndarray:
    """Return the pairs of images whose coarse structure agrees: int64 `(m, 2)`, sorted.

    Args:
        vectors: Absolute path of a `.npy` file, float32 `(n, d)`, of whole numbers; 0 for an image
            that takes no part. The index is written beside it.
        search: See above.
        executor: Runs the tasks.

    Raises:
        UserError: Most images look alike, so that the pairs would mean nothing; or there is no
            faiss.
    """
    size = len(np.load(vectors, mmap_mode="r"))
    most = _MOST_PAIRS * size
    index = _write_index(vectors) if search == "index" else None
    tasks = [
        Rows(str(vectors), index, first, min(first + _ROWS_A_TASK, size), most)
        for first in range(0, size, _ROWS_A_TASK)
    ]
    found, left = [np.empty((0, 2), np.int64)], most
    for pairs in executor.map(find_in_rows, tasks, lambda task: f"duplicates from {task.first}"):
        found.append(pairs)
        left -= len(pairs)
        if left < 0:
            raise UserError(
                "too many images look alike, as drawings of digits or scans of forms do, to find "
                "copies by similarity: set split.duplicate_similarity: null, which finds only "
                "equal images."
            )
    # The index finds a pair from either side.
    return np.unique(np.concatenate(found), axis=0)


def find_in_rows(task: Rows) -> np.ndarray:
    """Return the pairs of one task, int64 `(m, 2)`; not all of them if there are too many."""
    vectors = np.load(task.vectors, mmap_mode="r")
    blocks = _compare_all(vectors, task) if task.index_file is None else _ask_index(vectors, task)
    found, size = [np.empty((0, 2), np.int64)], 0
    for pairs in blocks:
        found.append(pairs)
        size += len(pairs)
        if size > task.most:
            break
    return np.concatenate(found)


def _compare_all(vectors: np.ndarray, task: Rows) -> Iterator[np.ndarray]:
    """Yield arrays of pairs `(i, j)`, i < j, where i is a row of the task."""
    for top in range(task.first, task.last, _ROWS_AT_ONCE):
        rows = vectors[top : min(top + _ROWS_AT_ONCE, task.last)]
        for start in range(top, len(vectors), _COLUMNS_AT_ONCE):
            agreement = rows @ vectors[start : start + _COLUMNS_AT_ONCE].T
            places = np.flatnonzero(agreement >= _LEAST)
            one, other = np.divmod(places, agreement.shape[1])
            pairs = np.stack([one + top, other + start], axis=1)
            yield pairs[pairs[:, 0] < pairs[:, 1]]


def _write_index(vectors: Path) -> str:
    """Write an inverted file of all vectors that are not zero; return its path.

    The centres of its lists are vectors of images, drawn with a fixed seed, instead of means as of
    k-means: so all products are of whole numbers, and every machine gets the same index.
    """
    faiss = import_faiss()
    stored = np.load(vectors, mmap_mode="r")
    rows = np.flatnonzero(np.abs(stored).max(axis=1, initial=0))
    lists = max(1, min(len(rows), int(_LISTS * len(rows) ** 0.5)))
    centres = np.sort(stream("index", _INDEX_SEED).choice(rows, lists, replace=False))
    quantizer = faiss.IndexFlatIP(stored.shape[1])
    quantizer.add(stored[centres])
    index = faiss.IndexIVFFlat(quantizer, stored.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    for start in range(0, len(rows), _COLUMNS_AT_ONCE):
        some = rows[start : start + _COLUMNS_AT_ONCE]
        index.add_with_ids(stored[some], some)
    path = str(vectors.with_suffix(".index"))
    faiss.write_index(index, path)
    return path


def _ask_index(vectors: np.ndarray, task: Rows) -> Iterator[np.ndarray]:
    """Yield arrays of pairs `(i, j)`, i < j, of which one is a row of the task."""
    faiss = import_faiss()
    index = faiss.read_index(task.index_file, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    index.nprobe = _LISTS_SEARCHED
    for top in range(task.first, task.last, _ROWS_AT_ONCE):
        block = vectors[top : min(top + _ROWS_AT_ONCE, task.last)]
        # faiss returns the products above the limit.
        limits, _, others = index.range_search(block, _LEAST - 0.5)
        rows = np.repeat(np.arange(top, top + len(block)), np.diff(limits.astype(np.int64)))
        pairs = np.sort(np.stack([rows, others], axis=1), axis=1)
        yield pairs[pairs[:, 0] < pairs[:, 1]]


def import_faiss() -> Any:
    """Return the module faiss; raise UserError where it is not installed."""
    try:
        import faiss  # noqa: PLC0415 - of an extra
    except ImportError:
        raise UserError(
            "split.duplicate_search: index needs one more package: `pip install faiss-cpu`, or "
            "set it to exact."
        ) from None
    return faiss
