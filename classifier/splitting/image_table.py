"""Hold the data set while it is built: path, facts and pixels of every image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classifier.core.files import replacing
from classifier.core.shards import shard_names
from classifier.data.stored_images import StoredImages, open_shard, places_in_shards
from classifier.sources.fetch import link_or_copy
from classifier.splitting.decoding.images_file import write_npy_header
from classifier.splitting.decoding.shard_entries import FACTS, DecodedShard
from classifier.splitting.raw_images import RawImage, without_small

_IMAGES_AT_ONCE = 64


class ImageTable:
    """Images and facts in memory, pixels in decoded shards; all three have the same row numbers.

    Attributes:
        images: Sorted by path.
        facts: Structured array `(n,)`, see `decoding.FACTS`.
    """

    def __init__(
        self,
        images: list[RawImage],
        shard_of: np.ndarray,
        shards: Sequence[DecodedShard],
        stored_size: int,
    ) -> None:
        """Join the decoded shards.

        Args:
            images: Sorted by path.
            shard_of: Shard of each image, int `(n,)`.
            shards: All of them, decoded.
            stored_size: Side of a stored image in pixels.
        """
        self.images = images
        self.facts = np.zeros(len(images), FACTS)
        for number, shard in enumerate(shards):
            self.facts[shard_of == number] = shard.facts
        # Shards hold no pixels of images that cannot be read.
        readable = self.facts["width"] > 0
        self._shard_of = shard_of
        self._place_of = np.zeros(len(images), np.int64)
        self._place_of[readable] = places_in_shards(shard_of[readable], len(shards))
        self._shards = [open_shard(shard.file) for shard in shards]
        self._size = stored_size
        self._warnings = {path: texts for shard in shards for path, texts in shard.warnings.items()}

    def keep_readable(self, min_per_class: int) -> dict[str, int]:
        """Drop the images that could not be read; see `keep`."""
        return self.keep(np.flatnonzero(self.facts["width"]), min_per_class)

    def keep(self, rows: np.ndarray, min_per_class: int) -> dict[str, int]:
        """Keep only these rows, which ascend, and drop classes that are now too small.

        Returns the sizes of the dropped classes by name.
        """
        if len(rows) == len(self.images):
            return {}
        before = {image.class_name for image in self.images}
        chosen, small = without_small([self.images[row] for row in rows], min_per_class, before)
        kept = [row for row in rows if self.images[row].class_name not in small]
        self.images, self.facts = chosen, self.facts[kept]
        self._shard_of, self._place_of = self._shard_of[kept], self._place_of[kept]
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
        stored = StoredImages(self._shards, self._shard_of, self._place_of, self._size)
        return stored.read(np.array(rows, np.int64))

    def write_images(self, output: Path) -> None:
        """Write `images-*.npy` to `output`, and remove others of this name.

        A shard of which all images are kept is the same file as in the cache, where the file system
        has links.
        """
        names = shard_names(len(self._shards), ".npy")
        for path in output.glob("images-*.npy"):
            if path.name not in names:
                path.unlink()
        for number, name in enumerate(names):
            rows = np.flatnonzero(self._shard_of == number)
            shard = self._shards[number]
            if len(rows) == len(shard.images):
                link_or_copy(shard.path, output / name)
            else:
                self._write_rows(output / name, rows)

    def _write_rows(self, path: Path, rows: np.ndarray) -> None:
        with replacing(path) as temporary, temporary.open("wb") as file:
            write_npy_header(file, (len(rows), self._size, self._size, 3))
            for start in range(0, len(rows), _IMAGES_AT_ONCE):
                chosen = rows[start : start + _IMAGES_AT_ONCE].tolist()
                file.write(self.read_pixels(chosen).data)
