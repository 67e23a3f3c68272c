"""Hold the data set while it is built: path, facts and pixels of every image."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO, Literal

import numpy as np

from classifier.core.errors import UserError
from classifier.splitting.decoding import Decoded
from classifier.splitting.images_file import ImagesFile
from classifier.splitting.near_duplicates import SIDE
from classifier.splitting.raw_images import RawImage, without_small

_FACTS = [
    ("width", np.int32),  # 0 means not read
    ("height", np.int32),
    ("mode", "U8"),
    ("bytes", np.int64),  # size of the file
    ("largest", np.int64),  # see `DecodedImage`
    ("sha256", np.uint8, 32),  # of the file
    ("pixels", np.uint8, 16),  # digest of the stored pixels
    ("thumbnail", np.uint8, (SIDE, SIDE)),
    ("group", np.int64),
]


class ImageTable:
    """Images and facts in memory, pixels in a file; all three have the same row numbers.

    Attributes:
        images: Sorted by path.
        facts: Structured array `(n,)` of width, height, mode, bytes, largest, sha256, pixels,
            thumbnail, group.
    """

    def __init__(self, images: list[RawImage], file: BinaryIO, stored_size: int) -> None:
        self.images = images
        self.facts = np.zeros(len(images), _FACTS)
        self._stored = ImagesFile(file, len(images), stored_size)
        self._warnings: dict[str, tuple[str, ...]] = {}  # by path; most images have none

    def store(
        self, decoded: Iterable[Decoded], on_bad_image: Literal["error", "skip"]
    ) -> list[tuple[str, str]]:
        """Store each image in its row; return path and reason of each that cannot be read.

        Raises:
            UserError: An image cannot be read and `on_bad_image` is `error`.
        """
        rows = {image.path: row for row, image in enumerate(self.images)}
        problems: list[tuple[str, str]] = []
        for item in decoded:
            if item.image is not None:
                self._store_one(rows[item.path], item)
            elif on_bad_image == "skip":
                problems.append((item.path, item.reason))
            else:
                raise UserError(
                    f"{item.path} cannot be used: {item.reason} Remove it, or set "
                    "split.on_bad_image to skip."
                )
        return sorted(problems)

    def keep_readable(self, min_per_class: int) -> dict[str, int]:
        """Drop the images that could not be read; see `keep`."""
        return self.keep(np.flatnonzero(self.facts["width"]), min_per_class)

    def keep(self, rows: np.ndarray, min_per_class: int) -> dict[str, int]:
        """Keep only these rows, which ascend, and drop classes that are now too small.

        Returns the sizes of the dropped classes by name.
        """
        if len(rows) == len(self.images):
            return {}
        chosen, small = without_small([self.images[row] for row in rows], min_per_class)
        kept = [row for row in rows if self.images[row].class_name not in small]
        self._stored.keep(kept)
        self.images, self.facts = chosen, self.facts[kept]
        return small

    def complaints(self) -> list[tuple[str, str]]:
        """Return path and warning of each image of which its decoder complained, by path."""
        return [
            (image.path, warning)
            for image in self.images
            for warning in self._warnings.get(image.path, ())
        ]

    def read_pixels(self, rows: Sequence[int]) -> np.ndarray:
        """Return the stored pixels of these rows: uint8 `(len(rows), S, S, 3)`."""
        size = self._stored.size
        pixels = np.empty((len(rows), size, size, 3), np.uint8)
        for place, row in enumerate(rows):
            pixels[place] = self._stored.read(row)
        return pixels

    def _store_one(self, row: int, item: Decoded) -> None:
        image = item.image
        assert image is not None
        self._stored.write(row, image.pixels)
        if image.warnings:
            self._warnings[item.path] = image.warnings
        digest = hashlib.blake2b(image.pixels.tobytes(), digest_size=16).digest()
        for name, value in (
            ("width", image.width),
            ("height", image.height),
            ("mode", image.mode),
            ("bytes", item.size),
            ("largest", image.largest),
            ("sha256", np.frombuffer(item.sha256, np.uint8)),
            ("pixels", np.frombuffer(digest, np.uint8)),
            ("thumbnail", item.thumbnail),
        ):
            self.facts[name][row] = value
