"""Read the stored images of a data set from its shards."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.core.processes import worker_count
from classifier.core.shards import shard_names, shards_of

_HASHED_TOGETHER = 64  # images, which each thread copies


class Shard(NamedTuple):
    """A `.npy` file of images.

    Attributes:
        path: Of the file.
        offset: Of the first pixel in the file, in bytes.
        images: uint8 `(n, S, S, 3)`, memory-mapped.
    """

    path: Path
    offset: int
    images: np.ndarray


class StoredImages:
    """Images in one or several memory-mapped files, used like an array uint8 `(N, S, S, 3)`.

    Only the rows in use are in memory. An index array, or a slice across several shards, gives a
    copy.

    Attributes:
        shards: The files.
        shape: `(N, S, S, 3)`.
        dtype: uint8.
        nbytes: Of all pixels.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, shards: Sequence[Shard], shard_of: np.ndarray, place_of: np.ndarray, size: int
    ) -> None:
        """Join shards.

        Args:
            shards: The files.
            shard_of: Shard of each row, int `(N,)`.
            place_of: Row of each row in its shard, int64 `(N,)`.
            size: Side S of an image in pixels.
        """
        self.shards = list(shards)
        self._shard_of, self._place_of = shard_of, place_of
        self.shape = (len(shard_of), size, size, 3)
        self.nbytes = len(shard_of) * size * size * 3
        # The rows of a single whole file need no looking up.
        only = self.shards[0].images if len(self.shards) == 1 else None
        self._whole = only if only is not None and len(only) == len(shard_of) else None

    def __len__(self) -> int:
        return len(self._shard_of)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return one image for an int; else those of a slice, an index array or a mask."""
        if self._whole is not None:
            return self._whole[rows]
        shards, places = self._shard_of[rows], self._place_of[rows]
        if np.ndim(shards) == 0:
            return self.shards[int(shards)].images[int(places)]
        chosen = np.empty((len(shards), *self.shape[1:]), np.uint8)
        for shard, at in _groups(shards):
            chosen[at] = self.shards[shard].images[places[at]]
        return chosen

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all images, as `numpy.asarray` asks for."""
        return np.array(self[:], dtype=dtype, copy=copy)

    @cached_property
    def digest(self) -> str:
        """The `digest_images` of these files, which nothing changes while they are read."""
        return _digest(self)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of these rows, in any order: uint8 `(n, S, S, 3)`.

        Each image is read from its file in one piece: access to random rows of a memory map would
        also read their neighbours, which takes a disk far more time.

        Raises:
            UserError: A file has become shorter.
        """
        chosen = np.empty((len(rows), *self.shape[1:]), np.uint8)
        size = int(np.prod(self.shape[1:]))
        places = self._place_of[rows]
        for number, at in _groups(self._shard_of[rows]):
            shard = self.shards[number]
            with shard.path.open("rb", buffering=0) as file:
                for target, place in zip(at.tolist(), places[at].tolist(), strict=True):
                    file.seek(shard.offset + place * size)
                    if file.readinto(chosen[target].data) != size:
                        raise UserError(f"{shard.path} has changed: run the split stage again.")
        return chosen


Images = np.ndarray | StoredImages


def digest_images(images: Images) -> str:
    """Return a SHA-256 of images `(N, S, S, 3)`, in hexadecimal; their order counts."""
    return images.digest if isinstance(images, StoredImages) else _digest(images)


def _digest(images: Images) -> str:
    digest = hashlib.sha256(f"{images.shape}".encode())

    def of_some(start: int) -> bytes:
        some = np.ascontiguousarray(images[start : start + _HASHED_TOGETHER])
        return hashlib.sha256(some.data).digest()

    with ThreadPoolExecutor(worker_count()) as threads:
        for part in threads.map(of_some, range(0, len(images), _HASHED_TOGETHER)):
            digest.update(part)
    return digest.hexdigest()


def open_images(folder: Path, paths: Sequence[str], shards: int, size: int) -> StoredImages:
    """Open the shards of a data set.

    Args:
        folder: Of the data set; the shards are `images-*.npy`.
        paths: Of the images, in the order of the rows. A row's shard follows from its path; in a
            shard, images lie in the order of their rows.
        shards: Number of shards.
        size: Side S of an image in pixels.

    Raises:
        UserError: A shard is missing or damaged, or holds another number of images or images of
            another size; or there are other files `images-*.npy`.
    """
    names = shard_names(shards, ".npy")
    if others := sorted({path.name for path in folder.glob("images-*.npy")} - set(names)):
        raise UserError(
            f"{folder / others[0]} is none of the {shards} shards of this data set: run the split "
            "stage again, or `dvc checkout`."
        )
    shard_of = shards_of(paths, shards)
    counts = np.bincount(shard_of, minlength=shards)
    opened = [open_shard(folder / name) for name in names]
    for shard, count in zip(opened, counts.tolist(), strict=True):
        if shard.images.shape != (count, size, size, 3):
            raise UserError(
                f"{shard.path} holds {_described(shard.images.shape)}, but {folder} needs "
                f"{_described((count, size, size, 3))} there: run the split stage again, or "
                "`dvc checkout`."
            )
    return StoredImages(opened, shard_of, places_in_shards(shard_of, shards), size)


def places_in_shards(shard_of: np.ndarray, shards: int) -> np.ndarray:
    """Return the place of each row among the rows of its shard: int64 `(N,)`."""
    order = np.argsort(shard_of, kind="stable")
    counts = np.bincount(shard_of, minlength=shards)
    starts = np.cumsum(counts) - counts
    places = np.empty(len(shard_of), np.int64)
    places[order] = np.arange(len(shard_of)) - np.repeat(starts, counts)
    return places


def open_shard(path: Path) -> Shard:
    """Map a `.npy` file of images; it may have no rows, of which NumPy makes no map.

    Raises:
        UserError: The file is missing, or no whole file of uint8 images.
    """
    try:
        offset, shape = _read_layout(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run the split stage, or fetch the data with `dvc pull`."
        ) from None
    except (ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is damaged ({reason}): run the split stage again, or `dvc checkout`."
        ) from None
    if shape[0] == 0:
        return Shard(path, offset, np.empty(shape, np.uint8))
    # As a plain array: a slice of NumPy's own class of maps takes longer.
    mapped = np.asarray(np.memmap(path, np.uint8, "r", offset, shape))
    return Shard(path, offset, mapped)


def _read_layout(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return where the pixels of a `.npy` file begin, and the shape of its images.

    Raises:
        ValueError: It is another file, or not whole.
    """
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        offset, length = file.tell(), file.seek(0, 2)
    if dtype != np.uint8 or len(shape) != 4:
        raise ValueError("no images of uint8 values")
    whole = offset + int(np.prod(shape))
    if length != whole:
        raise ValueError(f"{length:,} bytes instead of {whole:,}")
    return offset, shape


def _groups(shards: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return each shard that occurs, and its places in `shards`."""
    order = np.argsort(shards, kind="stable")
    present, starts = np.unique(shards[order], return_index=True)
    ends = [*starts[1:].tolist(), len(shards)]
    groups = zip(present.tolist(), starts.tolist(), ends[: len(present)], strict=True)
    return [(shard, order[start:end]) for shard, start, end in groups]


def _described(shape: tuple[int, ...]) -> str:
    return f"{shape[0]:,} images of {shape[1]} x {shape[2]} pixels"
