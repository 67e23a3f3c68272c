"""Write the file of all stored images."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np


class ImagesFile:
    """A new `.npy` file of images uint8 `(size, size, 3)`, which are written in any order.

    Not a memory map: its pages would count as memory of this process.
    """

    def __init__(self, file: BinaryIO, rows: int, size: int) -> None:
        self._file, self.size = file, size
        write_npy_header(file, (rows, size, size, 3))
        self._start, self._stride = file.tell(), size * size * 3

    def write(self, row: int, pixels: np.ndarray) -> None:
        """Write the pixels of one image, uint8 `(size, size, 3)`."""
        self._file.seek(self._start + row * self._stride)
        self._file.write(pixels.tobytes())

    def read(self, row: int) -> np.ndarray:
        """Return the pixels of an image that was written: uint8 `(size, size, 3)`."""
        self._file.seek(self._start + row * self._stride)
        shape = (self.size, self.size, 3)
        return np.frombuffer(self._file.read(self._stride), np.uint8).reshape(shape)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, which ascend, and shorten the file."""
        for target, row in enumerate(rows):
            self._file.seek(self._start + row * self._stride)
            pixels = self._file.read(self._stride)
            self._file.seek(self._start + target * self._stride)
            self._file.write(pixels)
        self._file.truncate(self._start + len(rows) * self._stride)
        write_npy_header(self._file, (len(rows), self.size, self.size, 3))
        assert self._file.tell() == self._start  # the header leaves room for any number of rows


def write_npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a `.npy` file of uint8 values at the start of `file`.

    Version 1.0 of the format, which `numpy.lib.format` writes (seen with NumPy 2.4). The header
    has the same length whatever the length of the first axis, so it can be rewritten in place.
    """
    file.seek(0)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
