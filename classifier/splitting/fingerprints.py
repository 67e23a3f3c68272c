"""Small grey versions of images, by which copies are found that differ in size, colour or file.

Two images are compared twice. A search over all pairs compares coarse structure: the lowest
frequencies of the cosine transform, as in perceptual hashes (Zauner, "Implementation and
benchmarking of perceptual image hash functions", 2010), but kept as numbers instead of signs, and
each weighed by its frequency, because in natural images the lowest ones outweigh all others
(Field, Journal of the Optical Society of America A 4 (1987) 2379) and are alike wherever a horizon
is. What it finds is then compared in its details.
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
# Pairs of which the coarse structure correlates less are not looked at any further. Of CIFAR-10's
# pairs whose details agree, nearly all are well above, and it leaves less than one pair an image.
_COARSE_AGREEMENT = 0.7
# More pairs an image than this are no sign of copies, but of images that all look alike.
_MOST_PAIRS = 40
# Whole numbers of this size make the sums in a matrix product exact in float32, whatever their
# order: the same pairs on every machine.
_UNIT = 1024.0
# Moves of one image against the other, in pixels of SIDE, in which their details may agree.
_MOVES = 2
_ROWS_AT_ONCE, _COLUMNS_AT_ONCE, _PAIRS_AT_ONCE = 512, 8192, 1024
# Root mean square of the details in grey levels below which an image is plain.
_LEAST_DETAIL = 1.0


def fingerprint(pixels: np.ndarray) -> np.ndarray:
    """An image, uint8 `(H, W, 3)`, as grey uint8 `(SIDE, SIDE)`, each pixel a mean."""
    grey = Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))


def near_pairs(prints: np.ndarray, similarity: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of images whose details agree: int64 `(m, 2)`, ascending, and similarity `(m,)`.

    prints: fingerprints `(n, SIDE, SIDE)`. similarity: the least, up to 1.0, which only images
    reach that differ in nothing but brightness and contrast. Plain images are in no pair.
    The time grows with n squared; the memory by 256 bytes an image.

    Raises UserError where so many images look alike that the pairs would mean nothing.
    """
    pairs, similarities = [np.empty((0, 2), np.int64)], [np.empty(0)]
    left = _MOST_PAIRS * len(prints)
    for found in _coarse_pairs(prints):
        left -= len(found)
        if left < 0:
            raise UserError(
                "too many images look alike, as drawings of digits or scans of one kind do, for "
                "copies to be told by their looks: set split.duplicate_similarity: null, which "
                "finds equal images alone."
            )
        alike = _detail_similarity(prints, found)
        pairs.append(found[alike >= similarity])
        similarities.append(alike[alike >= similarity])
    joined = np.concatenate(pairs)
    order = np.lexsort((joined[:, 1], joined[:, 0]))
    return joined[order], np.concatenate(similarities)[order]


def _coarse_pairs(prints: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs int64 `(m, 2)` of images whose coarse structure agrees, some at a time."""
    vectors = _coarse(prints)
    least = _COARSE_AGREEMENT * _UNIT**2
    for top in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = vectors[top : top + _ROWS_AT_ONCE]
        for start in range(top, len(vectors), _COLUMNS_AT_ONCE):
            agreement = rows @ vectors[start : start + _COLUMNS_AT_ONCE].T
            places = np.flatnonzero(agreement >= least)
            first, second = np.divmod(places, agreement.shape[1])
            pairs = np.stack([first + top, second + start], axis=1)
            yield pairs[pairs[:, 0] < pairs[:, 1]]


def _coarse(prints: np.ndarray) -> np.ndarray:
    """Weighted low frequencies of each image: whole numbers in float32, of length _UNIT."""
    steps = np.arange(_COARSE)
    frequency = np.hypot(steps[:, None], steps)
    vectors = np.zeros((len(prints), _COARSE**2), np.float32)
    for start in range(0, len(prints), _PAIRS_AT_ONCE):
        grey = prints[start : start + _PAIRS_AT_ONCE].astype(np.float32)
        waves = np.asarray(dctn(grey, axes=(1, 2), norm="ortho"))
        flat = (waves[:, :_COARSE, :_COARSE] * frequency).reshape(len(grey), -1)
        length = np.sqrt((flat**2).sum(axis=1))
        detailed = np.sqrt((_high_pass(grey) ** 2).mean(axis=(1, 2))) >= _LEAST_DETAIL
        scale = np.where(detailed & (length > 0), _UNIT / np.maximum(length, 1e-6), 0)
        vectors[start : start + len(grey)] = np.rint(flat * scale[:, None])
    return vectors


def _detail_similarity(prints: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The highest correlation of the details of each pair over small moves: float64 `(m,)`."""
    highest = [np.empty(0)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        chosen = pairs[start : start + _PAIRS_AT_ONCE]
        rows, places = np.unique(chosen, return_inverse=True)
        waves = np.fft.rfft2(_details(prints[rows].astype(np.float32)))
        first, second = places.reshape(chosen.shape).T
        correlations = np.fft.irfft2(waves[first] * np.conj(waves[second]))
        moved = np.roll(correlations, (_MOVES, _MOVES), axis=(1, 2))
        window = moved[:, : 2 * _MOVES + 1, : 2 * _MOVES + 1]
        highest.append(window.max(axis=(1, 2)).astype(np.float64).round(4))
    return np.concatenate(highest)


def _details(grey: np.ndarray) -> np.ndarray:
    """What differs from its surroundings, evened out over the image, of length 1.

    Without the second step, one strong edge, as of a horizon, would count more than all else
    (local contrast normalisation, Jarrett et al., ICCV 2009, doi 10.1109/ICCV.2009.5459469).
    """
    details = _high_pass(grey)
    contrast = np.sqrt(np.maximum(uniform_filter(details**2, 7, mode="nearest", axes=(1, 2)), 0))
    evened = details / (contrast + contrast.mean(axis=(1, 2), keepdims=True) + 1e-6)
    length = np.sqrt((evened**2).sum(axis=(1, 2), keepdims=True))
    return evened / np.maximum(length, 1e-6)


def _high_pass(grey: np.ndarray) -> np.ndarray:
    """Grey images `(n, SIDE, SIDE)` less their blurred versions."""
    return grey - uniform_filter(grey, 5, mode="nearest", axes=(1, 2))
