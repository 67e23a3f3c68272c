"""Find near-duplicates: copies that differ in size, colour, crop or file format.

Each image is reduced to a small grey version, its thumbnail.

Two images are compared twice. A search for candidates compares coarse structure: the lowest
frequencies of the cosine transform, as in perceptual hashes (Zauner, "Implementation and
benchmarking of perceptual image hash functions", 2010), but as numbers instead of signs, and each
weighted by its frequency, because in natural images the lowest ones outweigh all others (Field,
Journal of the Optical Society of America A 4 (1987) 2379) and are similar in all images with a
horizon. The pairs that it finds are then compared in their details.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from classifier.core.cache import scratch_folder
from classifier.core.executors import Executor, open_executor
from classifier.splitting.duplicates.candidate_pairs import (
    UNIT,
    Search,
    count_tasks,
    find_candidates,
)
from classifier.splitting.duplicates.known_pairs import similarities
from classifier.splitting.duplicates.thumbnails import SIDE

# Frequencies a side of the coarse comparison.
_COARSE = 8
# Maximum shift of one image against the other, in pixels of SIDE, when details are compared.
_MOVES = 2
# Images or pairs in memory at once, and those of one task.
_PAIRS_AT_ONCE, _IMAGES_A_TASK, _PAIRS_A_TASK = 1024, 8192, 8192
# Number of images from which other processes gain more than their start costs.
_POOL_PAYS = 50_000
# Minimum root mean square of the details in grey levels; below it an image is plain.
_LEAST_DETAIL = 1.0


def near_pairs(
    thumbnails: np.ndarray,
    similarity: float,
    search: Search,
    rows: np.ndarray | None = None,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of images whose details agree: int64 `(m, 2)`, sorted, and similarity `(m,)`.

    Plain images are in no pair. Nothing depends on the number of workers. With `exact`, the time
    grows with n squared. Files of about 1,300 bytes per image lie in the cache folder meanwhile,
    and memory is about 150 bytes per pair of candidates. Pairs of the last run are not compared
    again, see `known_pairs`.

    Args:
        thumbnails: uint8 `(n, SIDE, SIDE)`.
        similarity: The minimum. Only images that differ in nothing but brightness and contrast
            reach 1.0.
        search: How candidates are found, see `candidate_pairs`.
        rows: Rows that take part, ascending. None: all.
        workers: See `open_executor`.

    Raises:
        UserError: As in `find_candidates`.
    """
    rows = np.arange(len(thumbnails)) if rows is None else rows
    tasks = count_tasks(len(rows)) if len(rows) >= _POOL_PAYS else 1
    with (
        scratch_folder("duplicates") as folder,
        open_executor(tasks, workers=workers, shared=[folder]) as executor,
    ):
        path = folder / "thumbnails.npy"
        _write_thumbnails(path, thumbnails, rows)
        vectors = folder / "vectors.npy"
        _write_vectors(vectors, path, len(rows), executor)
        pairs = find_candidates(vectors, search, executor)
        stored = np.load(path, mmap_mode="r")

        def compare(some: np.ndarray) -> np.ndarray:
            parts = [
                _Part(str(path), start, start + _PAIRS_A_TASK, some[start : start + _PAIRS_A_TASK])
                for start in range(0, len(some), _PAIRS_A_TASK)
            ]
            return np.concatenate([np.empty(0), *executor.map(_compare_details, parts, str)])

        alike = similarities(stored, pairs, compare, __name__)
    kept = alike >= similarity
    return rows[pairs[kept]], alike[kept]


class _Part(NamedTuple):
    """A task: some images of the file `thumbnails`, or some pairs of its images.

    Attributes:
        thumbnails: Path of a `.npy` file, uint8 `(n, SIDE, SIDE)`.
        start: Place of the first image, or of the first pair.
        stop: The place after the last one.
        pairs: int64 `(m, 2)`; None for images.
    """

    thumbnails: str
    start: int
    stop: int
    pairs: np.ndarray | None = None

    def __str__(self) -> str:
        what = "thumbnails" if self.pairs is None else "pairs of images"
        return f"comparison of {what} from {self.start}"


def _write_thumbnails(path: Path, thumbnails: np.ndarray, rows: np.ndarray) -> None:
    """Write these rows as a `.npy` file, a few at a time."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), SIDE, SIDE)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), _IMAGES_A_TASK):
            file.write(thumbnails[rows[start : start + _IMAGES_A_TASK]].tobytes())


def _write_vectors(path: Path, thumbnails: Path, size: int, executor: Executor) -> None:
    """Write the coarse structure of all thumbnails as a `.npy` file, float32 `(size, _COARSE²)`."""
    parts = [
        _Part(str(thumbnails), start, start + _IMAGES_A_TASK)
        for start in range(0, size, _IMAGES_A_TASK)
    ]
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (size, _COARSE**2)}
        np.lib.format.write_array_header_1_0(file, header)
        for vectors in executor.map(_describe_part, parts, str):
            file.write(vectors.tobytes())


def _describe_part(part: _Part) -> np.ndarray:
    stored = np.load(part.thumbnails, mmap_mode="r")
    return _coarse(stored[part.start : part.stop])


def _compare_details(part: _Part) -> np.ndarray:
    assert part.pairs is not None
    return _detail_similarity(np.load(part.thumbnails, mmap_mode="r"), part.pairs)


def _coarse(thumbnails: np.ndarray) -> np.ndarray:
    """Return weighted low frequencies of each image: whole numbers in float32, of length UNIT."""
    steps = np.arange(_COARSE)
    frequency = np.hypot(steps[:, None], steps)
    vectors = np.zeros((len(thumbnails), _COARSE**2), np.float32)
    for start in range(0, len(thumbnails), _PAIRS_AT_ONCE):
        grey = thumbnails[start : start + _PAIRS_AT_ONCE].astype(np.float32)
        waves = np.asarray(dctn(grey, axes=(1, 2), norm="ortho"))
        flat = (waves[:, :_COARSE, :_COARSE] * frequency).reshape(len(grey), -1)
        length = np.sqrt((flat**2).sum(axis=1))
        detailed = np.sqrt((_high_pass(grey) ** 2).mean(axis=(1, 2))) >= _LEAST_DETAIL
        scale = np.where(detailed & (length > 0), UNIT / np.maximum(length, 1e-6), 0)
        vectors[start : start + len(grey)] = np.rint(flat * scale[:, None])
    return vectors


def _detail_similarity(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return each pair's highest correlation of details over small shifts: float64 `(m,)`."""
    highest = [np.empty(0)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        chosen = pairs[start : start + _PAIRS_AT_ONCE]
        rows, places = np.unique(chosen, return_inverse=True)
        waves = np.fft.rfft2(_details(thumbnails[rows].astype(np.float32)))
        first, second = places.reshape(chosen.shape).T
        correlations = np.fft.irfft2(waves[first] * np.conj(waves[second]))
        moved = np.roll(correlations, (_MOVES, _MOVES), axis=(1, 2))
        window = moved[:, : 2 * _MOVES + 1, : 2 * _MOVES + 1]
        highest.append(window.max(axis=(1, 2)).astype(np.float64).round(4))
    return np.concatenate(highest)


def _details(grey: np.ndarray) -> np.ndarray:
    """Return local details, normalised by local contrast, as vectors of length 1.

    Without the normalisation, one strong edge, such as a horizon, would count more than all other
    details (Jarrett et al., ICCV 2009, doi 10.1109/ICCV.2009.5459469).
    """
    details = _high_pass(grey)
    contrast = np.sqrt(np.maximum(uniform_filter(details**2, 7, mode="nearest", axes=(1, 2)), 0))
    evened = details / (contrast + contrast.mean(axis=(1, 2), keepdims=True) + 1e-6)
    length = np.sqrt((evened**2).sum(axis=(1, 2), keepdims=True))
    return evened / np.maximum(length, 1e-6)


def _high_pass(grey: np.ndarray) -> np.ndarray:
    """Return grey images `(n, SIDE, SIDE)` minus their blurred versions."""
    return grey - uniform_filter(grey, 5, mode="nearest", axes=(1, 2))
