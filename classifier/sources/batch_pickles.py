"""Read the pickles of CIFAR-10 as data: numbers, bytes, lists, dicts and arrays of bytes.

A pickle is a program. Here it can call four things, which stand in for those of NumPy and Python:
they keep what they are given, check it, and cannot be changed by the pickle. No code of NumPy sees
what an attacker wrote.
"""

import io
import math
import pickle
import pickletools
from typing import Any, ClassVar

import numpy as np

from classifier.core.errors import UserError

# Instructions with a number that decides how much memory is taken before anything is read.
_SIZED = ("PUT", "BINPUT", "LONG_BINPUT", "FRAME")


def load_pickle(content: bytes) -> Any:
    """Return what a pickle holds; arrays are `PickledArray`.

    Raises:
        UserError: It wants to call anything else.
        Exception: It is damaged; of many types.
    """
    for instruction, value, _ in pickletools.genops(content):
        if instruction.name in _SIZED and int(value or 0) > len(content):
            raise pickle.UnpicklingError(f"{instruction.name} of {value:,}")
    return _Unpickler(io.BytesIO(content), encoding="bytes").load()


class PickledArray:
    """An array of a pickle: uint8 in `pixels`, None for one of another type or order."""

    pixels: np.ndarray | None = None

    def __setstate__(self, state: tuple[int, tuple[int, ...], Any, bool, bytes]) -> None:
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array without its type or content")
        if dtype.is_uint8 and not is_fortran:
            if math.prod(shape) != len(content):
                raise pickle.UnpicklingError(f"an array of {shape} with {len(content):,} bytes")
            self.pixels = np.frombuffer(content, np.uint8).reshape(shape)


class _Dtype:
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.is_uint8 = code in ("u1", b"u1", "|u1", b"|u1")

    def __setstate__(self, state: object) -> None:
        """Ignore the byte order, which single bytes have not."""


class _Unchangeable:
    """Takes no state, by which a pickle could change it for all pickles that follow."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state for what has none")


class _Encode(_Unchangeable):
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes for Python 2 to read."""

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"the encoding {encoding} is unknown")
        return text.encode("latin1")


class _Reconstruct(_Unchangeable):
    """Stands in for NumPy's function that makes an empty array, which then gets its state."""

    def __call__(self, *_: object) -> PickledArray:
        return PickledArray()


class _Unpickler(pickle.Unpickler):
    # NumPy 2 renamed the module of the function that makes an empty array.
    _admitted: ClassVar[dict[tuple[str, str], Any]] = {
        ("_codecs", "encode"): _Encode(),
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Unchangeable(),
        ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
        ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return self._admitted[module_name, global_name]
        except KeyError:
            raise UserError(
                f"wants to call {module_name}.{global_name}, which no CIFAR-10 batch does: do not "
                "trust this file, and get the archive from its publisher."
            ) from None
