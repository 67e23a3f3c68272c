"""Find near-duplicates: copies that differ in size, colour, crop or file format.

Each image is reduced to a small grey version, its thumbnail.

Two images are compared twice. A search over all pairs compares coarse structure: the lowest
frequencies of the cosine transform, as in perceptual hashes (Zauner, "Implementation and
benchmarking of perceptual image hash functions", 2010), but as numbers instead of signs, and each
weighted by its frequency, because in natural images the lowest ones outweigh all others (Field,
Journal of the Optical Society of America A 4 (1987) 2379) and are similar in all images with a
horizon. The pairs that it finds are then compared in their details.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from classifier.core.errors import UserError

SIDE = 32
# Frequencies a side of the coarse comparison.
_COARSE = 8
# Minimum correlation of the coarse structure; the details of other pairs are not compared. Nearly
# all of CIFAR-10's pairs whose details agree are well above it, and less than one pair per image
# passes it.
_COARSE_AGREEMENT = 0.7
# With more pairs per image than this, all images look alike, and similarity finds no copies.
_MOST_PAIRS = 40
# With whole numbers of this size the sums in a matrix product are exact in float32 in any order, so
# that every machine finds the same pairs.
_UNIT = 1024.0
# Maximum shift of one image against the other, in pixels of SIDE, when details are compared.
_MOVES = 2
_ROWS_AT_ONCE, _COLUMNS_AT_ONCE, _PAIRS_AT_ONCE = 512, 8192, 1024
# Minimum root mean square of the details in grey levels; below it an image is plain.
_LEAST_DETAIL = 1.0


def grey_thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Reduce an image, uint8 `(H, W, 3)`, to grey uint8 `(SIDE, SIDE)` by averaging pixels."""
    grey = Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))


def near_pairs(thumbnails: np.ndarray, similarity: float) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of images whose details agree: int64 `(m, 2)`, ascending, and similarity `(m,)`.

    Plain images are in no pair. Time grows with n squared; memory is 256 bytes per image.

    Args:
        thumbnails: uint8 `(n, SIDE, SIDE)`.
        similarity: The minimum. Only images that differ in nothing but brightness and contrast
            reach 1.0.

    Raises:
        UserError: Most images look alike, so that the pairs would mean nothing.
    """
    pairs, similarities = [np.empty((0, 2), np.int64)], [np.empty(0)]
    left = _MOST_PAIRS * len(thumbnails)
    for found in _coarse_pairs(thumbnails):
        left -= len(found)
        if left < 0:
            raise UserError(
                "too many images look alike, as drawings of digits or scans of forms do, to find "
                "copies by similarity: set split.duplicate_similarity: null, which finds only "
                "equal images."
            )
        alike = _detail_similarity(thumbnails, found)
        pairs.append(found[alike >= similarity])
        similarities.append(alike[alike >= similarity])
    joined = np.concatenate(pairs)
    order = np.lexsort((joined[:, 1], joined[:, 0]))
    return joined[order], np.concatenate(similarities)[order]


def _coarse_pairs(thumbnails: np.ndarray) -> Iterator[np.ndarray]:
    """Yield arrays of pairs, int64 `(m, 2)`, of images whose coarse structure agrees."""
    vectors = _coarse(thumbnails)
    least = _COARSE_AGREEMENT * _UNIT**2
    for top in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = vectors[top : top + _ROWS_AT_ONCE]
        for start in range(top, len(vectors), _COLUMNS_AT_ONCE):
            agreement = rows @ vectors[start : start + _COLUMNS_AT_ONCE].T
            places = np.flatnonzero(agreement >= least)
            first, second = np.divmod(places, agreement.shape[1])
            pairs = np.stack([first + top, second + start], axis=1)
            yield pairs[pairs[:, 0] < pairs[:, 1]]


def _coarse(thumbnails: np.ndarray) -> np.ndarray:
    """Return weighted low frequencies of each image: whole numbers in float32, of length _UNIT."""
    steps = np.arange(_COARSE)
    frequency = np.hypot(steps[:, None], steps)
    vectors = np.zeros((len(thumbnails), _COARSE**2), np.float32)
    for start in range(0, len(thumbnails), _PAIRS_AT_ONCE):
        grey = thumbnails[start : start + _PAIRS_AT_ONCE].astype(np.float32)
        waves = np.asarray(dctn(grey, axes=(1, 2), norm="ortho"))
        flat = (waves[:, :_COARSE, :_COARSE] * frequency).reshape(len(grey), -1)
        length = np.sqrt((flat**2).sum(axis=1))
        detailed = np.sqrt((_high_pass(grey) ** 2).mean(axis=(1, 2))) >= _LEAST_DETAIL
        scale = np.where(detailed & (length > 0), _UNIT / np.maximum(length, 1e-6), 0)
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
