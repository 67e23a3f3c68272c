"""The file of all stored images while it is made."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np


class ImagesFile:
    """A new `.npy` file of images uint8 `(S, S, 3)`, which come in any order.

    Written as a file, not as a memory map, whose pages would count as this process's memory.
    """

    def __init__(self, file: BinaryIO, rows: int, size: int) -> None:
        self._file, self._size = file, size
        self._write_header(rows)
        self._start, self._stride = file.tell(), size * size * 3

    def write(self, row: int, pixels: np.ndarray) -> None:
        self._file.seek(self._start + row * self._stride)
        self._file.write(pixels.tobytes())

    def read(self, row: int) -> np.ndarray:
        """The pixels of an image that was written: uint8 `(S, S, 3)`."""
        self._file.seek(self._start + row * self._stride)
        shape = (self._size, self._size, 3)
        return np.frombuffer(self._file.read(self._stride), np.uint8).reshape(shape)

    def keep(self, rows: Sequence[int]) -> None:
        """Close up to these rows, which ascend."""
        for target, row in enumerate(rows):
            self._file.seek(self._start + row * self._stride)
            pixels = self._file.read(self._stride)
            self._file.seek(self._start + target * self._stride)
            self._file.write(pixels)
        self._file.truncate(self._start + len(rows) * self._stride)
        self._write_header(len(rows))
        assert self._file.tell() == self._start  # numpy leaves room for any number of rows

    def _write_header(self, rows: int) -> None:
        shape = (rows, self._size, self._size, 3)
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
