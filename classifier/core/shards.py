"""Say in which of several files, the shards, something lies: by a hash of its name.

So one more image changes one shard, and the place of an image depends on nothing but its path and
the number of shards.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def shard_of(path: str, shards: int) -> int:
    """Return the number of the shard, 0 to `shards - 1`.

    Data sets on disk depend on this hash: the first 8 bytes of the SHA-256 of the path in UTF-8, a
    big-endian number, modulo the number of shards.
    """
    if shards == 1:
        return 0
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") % shards


def shards_of(paths: Sequence[str], shards: int) -> np.ndarray:
    """Return the shard of each path: int32 `(n,)`."""
    return np.fromiter((shard_of(path, shards) for path in paths), np.int32, len(paths))


def shard_names(shards: int, suffix: str) -> list[str]:
    """Return the names of all shards, such as `images-00.npy` to `images-63.npy`."""
    width = len(str(shards - 1))
    return [f"images-{shard:0{width}d}{suffix}" for shard in range(shards)]
