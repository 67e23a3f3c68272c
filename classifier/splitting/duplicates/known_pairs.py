"""Remember how similar pairs of images are, so that a data set that grows compares only new pairs.

The cache has a file of the candidates of the last run. A pair is known by the content of its two
thumbnails, and a file by the code and the libraries that compare them, and the kind of processor,
by which NumPy chooses among ways to multiply.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from classifier.core.cache import cache_folder, read_checked, write_checked
from classifier.core.code import code_digest
from classifier.core.cpu import cpu_kind
from classifier.core.versions import installed_versions

_DIGEST_BYTES = 16
_ENTRY = np.dtype([("pair", f"S{2 * _DIGEST_BYTES}"), ("similarity", "<f8")])


def similarities(
    thumbnails: Sequence[np.ndarray] | np.ndarray,
    pairs: np.ndarray,
    compare: Callable[[np.ndarray], np.ndarray],
    module: str,
) -> np.ndarray:
    """Return the similarity of each pair, float64 `(m,)`: remembered, or compared now.

    Args:
        thumbnails: uint8 `(n, SIDE, SIDE)`.
        pairs: Rows of the thumbnails, int64 `(m, 2)`.
        compare: Returns the similarities of some of the pairs, which depend on no other pair.
        module: Name of the module whose code compares.
    """
    keys = _keys(thumbnails, pairs)
    path = _path(module)
    known = _read(path)
    places = np.searchsorted(known["pair"], keys)
    found = np.zeros(len(keys), bool)
    inside = np.flatnonzero(places < len(known))
    found[inside] = known["pair"][places[inside]] == keys[inside]
    result = np.empty(len(pairs))
    result[found] = known["similarity"][places[found]]
    if not found.all():
        result[~found] = compare(pairs[~found])
        _write(path, keys, result)
    return result


def _keys(thumbnails: Sequence[np.ndarray] | np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the bytes by which each pair is known: `S32` `(m,)`."""
    digests = b"".join(
        hashlib.blake2b(image.tobytes(), digest_size=_DIGEST_BYTES).digest() for image in thumbnails
    )
    rows = np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES)
    return rows[pairs].reshape(-1, 2 * _DIGEST_BYTES).view(_ENTRY["pair"]).reshape(-1)


def _path(module: str) -> Path:
    versions = installed_versions("numpy", "scipy")
    key = hashlib.sha256(f"{code_digest(module)} {versions} {cpu_kind()}".encode()).hexdigest()
    return cache_folder("pairs") / f"{key[:32]}.npy"


def _read(path: Path) -> np.ndarray:
    """Return the remembered pairs, sorted: `_ENTRY` `(k,)`."""
    stored = read_checked(path)
    return np.empty(0, _ENTRY) if stored is None else np.load(io.BytesIO(stored))


def _write(path: Path, keys: np.ndarray, values: np.ndarray) -> None:
    """Replace what is remembered, also that of other code, which may never be asked for again."""
    entries = np.empty(len(keys), _ENTRY)
    entries["pair"], entries["similarity"] = keys, values
    buffer = io.BytesIO()
    np.save(buffer, entries[np.argsort(keys, kind="stable")])
    for other in path.parent.glob("*.npy"):
        if other != path:
            other.unlink(missing_ok=True)
    write_checked(path, buffer.getvalue())
