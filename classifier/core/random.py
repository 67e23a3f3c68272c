"""Random streams: draws as functions of a name and numbers, with no state to carry along."""

import hashlib
import json
from collections.abc import Iterable

import numpy as np


def stream(name: str, *parts: int | str) -> np.random.Generator:
    """Return a generator that gives the same draws for the same arguments on every machine.

    The name says what the draws are for and is used at one place in the code, so that no two uses
    share draws, even with the same numbers. A test checks it.

    Args:
        name: The purpose, such as `augment`.
        parts: What the draws are a function of, such as seed and epoch. Order and count matter.

    Example:
        >>> float(stream("augment", 0, 1).random()) == float(stream("augment", 0, 1).random())
        True
    """
    return np.random.Generator(np.random.PCG64(_sequence(name, parts)))


def stream_seed(name: str, *parts: int | str) -> int:
    """Return a seed of 32 bits for the generator of another library, such as PyTorch's.

    Args:
        name: The purpose, which no other call of `stream` or `stream_seed` has.
        parts: As in `stream`.
    """
    return int(_sequence(name, parts).generate_state(1)[0])


def hash_numbers(name: str, seed: int, keys: Iterable[bytes]) -> np.ndarray:
    """Return a pseudo-random number for each key: uint64 `(n,)`.

    It is a function of name, seed and key alone, so that an order by these numbers stays when keys
    are added or removed. Equal keys have equal numbers.

    Args:
        name: The purpose, which no other call of this module's functions has.
        seed: Another seed gives independent numbers.
        keys: Such as digests of files.
    """
    start = hashlib.sha256(json.dumps([name, seed]).encode())

    def number(key: bytes) -> int:
        digest = start.copy()
        digest.update(key)
        return int.from_bytes(digest.digest()[:8])

    return np.fromiter((number(key) for key in keys), np.uint64)


def _sequence(name: str, parts: tuple[int | str, ...]) -> np.random.SeedSequence:
    described = json.dumps([name, *parts]).encode()
    return np.random.SeedSequence(int.from_bytes(hashlib.sha256(described).digest()))
