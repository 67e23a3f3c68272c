"""Decode the images of shards, and keep each shard as an entry of the cache.

An entry is two files: the stored images, `NAME.npy`, and what else is known of them, `NAME.facts`,
which is written last and holds the digest of the first.
"""

import hashlib
import io
import json
from collections import deque
from collections.abc import Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from classifier.core.cache import read_checked, write_checked
from classifier.core.errors import UserError
from classifier.core.files import replacing, sha256_of
from classifier.processing.images import (
    DecodedImage,
    Preprocessing,
    read_image,
    without_padding,
)
from classifier.splitting.decoding.images_file import ImagesFile
from classifier.splitting.decoding.raw_files import RawFile, check_complete
from classifier.splitting.duplicates.thumbnails import SIDE, grey_thumbnail

FACTS = [
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


class ShardImages(NamedTuple):
    """The images of a shard.

    Attributes:
        entry: Path of the entry in the cache, without its endings.
        images: Path and SHA-256 of each image file, sorted by path.
    """

    entry: Path
    images: list[tuple[str, bytes]]


class DecodeTask(NamedTuple):
    """Shards that one raw file holds, to be decoded in one go; another process can take it.

    Attributes:
        file: Holds the images, its path absolute.
        shards: To be decoded.
        preprocessing: How an image becomes a square.
        threads: Number of images that are decoded at the same time.
        has_bar: Whether a progress bar counts the images.
    """

    file: RawFile
    shards: list[ShardImages]
    preprocessing: Preprocessing
    threads: int
    has_bar: bool


class DecodedShard(NamedTuple):
    """An entry of the cache.

    Attributes:
        file: The `.npy` file of the images that can be read, in the order of the shard.
        facts: Of all images of the shard: structured array `(n,)` of FACTS; group is 0, and so is
            the width of an image that cannot be read.
        problems: Path and reason of each image that cannot be read.
        warnings: Of the decoder, by path of the image; most images have none.
    """

    file: Path
    facts: np.ndarray
    problems: list[tuple[str, str]]
    warnings: dict[str, list[str]]


class _Decoded(NamedTuple):
    """A decoded image; `image` is None if it cannot be read, and `reason` says why."""

    path: str
    sha256: bytes
    size: int
    image: DecodedImage | None
    thumbnail: np.ndarray | None
    reason: str


def decode_shards(task: DecodeTask) -> None:
    """Decode the images of a task, and write an entry of the cache for each of its shards.

    Raises:
        UserError: The raw file is damaged, or has changed since its images were hashed.
    """
    places: dict[str, tuple[_Entry, int, bytes]] = {}
    entries: list[_Entry] = []
    with ExitStack() as stack:
        for shard in task.shards:
            temporary = stack.enter_context(replacing(_images_of(shard.entry)))
            file = stack.enter_context(temporary.open("w+b"))
            entry = _Entry(
                shard, ImagesFile(file, len(shard.images), task.preprocessing.stored_size)
            )
            entries.append(entry)
            for row, (path, digest) in enumerate(shard.images):
                places[path] = entry, row, digest
        seen: set[str] = set()
        for item in _decode_all(task, places):
            entry, row, digest = places[item.path]
            if item.sha256 != digest:
                raise UserError(
                    f"{item.path} in {task.file.path} changes while it is read: wait until nothing "
                    "else writes to it, and run the stage again."
                )
            seen.add(item.path)
            entry.store(row, item)
        check_complete(task.file, places, seen)
        for entry in entries:
            entry.keep_readable()
    for entry in entries:
        entry.complete()


def read_entry(entry: Path, *, trusted: bool = False) -> DecodedShard | None:
    """Return an entry of the cache; None where it is missing or damaged.

    Args:
        entry: Its path without endings.
        trusted: Whether its images are taken as they are, since they were just written.
    """
    stored = read_checked(facts_of(entry))
    if stored is None:
        return None
    head, _, array = stored.partition(b"\n")
    description = json.loads(head)
    file = _images_of(entry)
    if not file.is_file() or not (trusted or sha256_of(file) == description["sha256"]):
        return None
    return DecodedShard(
        file,
        np.load(io.BytesIO(array)),
        [(path, reason) for path, reason in description["problems"]],
        description["warnings"],
    )


def facts_of(entry: Path) -> Path:
    """Return the path of the file that completes an entry of the cache."""
    return entry.with_suffix(".facts")


def _images_of(entry: Path) -> Path:
    return entry.with_suffix(".npy")


class _Entry:
    """An entry of the cache while it is written; its images may come in any order."""

    def __init__(self, shard: ShardImages, stored: ImagesFile) -> None:
        self._path, self._stored = shard.entry, stored
        self._facts = np.zeros(len(shard.images), FACTS)
        self._facts["sha256"] = np.array(
            [np.frombuffer(digest, np.uint8) for _, digest in shard.images]
        ).reshape(-1, 32)
        self._problems: list[tuple[str, str]] = []
        self._warnings: dict[str, tuple[str, ...]] = {}

    def store(self, row: int, item: _Decoded) -> None:
        """Take an image of the shard, or the reason why it cannot be read."""
        image = item.image
        if image is None:
            self._problems.append((item.path, item.reason))
            return
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
            ("pixels", np.frombuffer(digest, np.uint8)),
            ("thumbnail", item.thumbnail),
        ):
            self._facts[name][row] = value

    def keep_readable(self) -> None:
        """Remove the rows of images that cannot be read from the file of images."""
        if self._problems:
            self._stored.keep(np.flatnonzero(self._facts["width"]).tolist())

    def complete(self) -> None:
        """Write the second file; the first is closed and under its name."""
        images = _images_of(self._path)
        # data/split and DVC's cache have links to it: nobody may change it in place.
        images.chmod(0o444)
        description = {
            "sha256": sha256_of(images),
            "problems": sorted(self._problems),
            "warnings": self._warnings,
        }
        buffer = io.BytesIO()
        np.save(buffer, self._facts)
        head = f"{json.dumps(description)}\n".encode()
        write_checked(facts_of(self._path), head + buffer.getvalue())


def _decode_all(task: DecodeTask, wanted: Container[str]) -> Iterator[_Decoded]:
    """Decode images in threads; yield them in the order of the raw file.

    Only a few images are in memory at once.
    """
    total = sum(len(shard.images) for shard in task.shards)
    ahead: deque[Future[_Decoded]] = deque()
    with (
        ThreadPoolExecutor(task.threads) as pool,
        tqdm(
            desc="split", total=total, unit="images", disable=None if task.has_bar else True
        ) as bar,
    ):
        for path, content in task.file.read(wanted.__contains__):
            ahead.append(pool.submit(_decode, path, content, task.preprocessing))
            if len(ahead) > 4 * task.threads:
                yield ahead.popleft().result()
                bar.update()
        while ahead:
            yield ahead.popleft().result()
            bar.update()


def _decode(path: str, content: bytes, preprocessing: Preprocessing) -> _Decoded:
    digest = hashlib.sha256(content).digest()
    try:
        image = read_image(content, preprocessing)
    except UserError as error:
        return _Decoded(path, digest, len(content), None, None, str(error))
    thumbnail = grey_thumbnail(without_padding(image, preprocessing))
    return _Decoded(path, digest, len(content), image, thumbnail, "")
