"""Read and decode the raw images in threads, a few at a time."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from classifier.core.errors import UserError
from classifier.processing.images import (
    DecodedImage,
    Preprocessing,
    read_image,
    without_padding,
)
from classifier.sources import archives
from classifier.sources import cifar10 as cifar
from classifier.splitting.near_duplicates import grey_thumbnail


class RawFile(NamedTuple):
    """The file in data/raw/ that holds all images, and the module that reads files of its kind."""

    path: Path
    reader: ModuleType


class Decoded(NamedTuple):
    """A decoded image, or the reason why it cannot be read.

    Attributes:
        path: Of the image in the raw data.
        sha256: Digest of the file.
        size: Of the file, in bytes.
        image: None if it cannot be read.
        thumbnail: See `near_duplicates.grey_thumbnail`; None if the image cannot be read.
        reason: Why it cannot be read; empty if it can.
    """

    path: str
    sha256: bytes
    size: int
    image: DecodedImage | None
    thumbnail: np.ndarray | None
    reason: str


def open_raw(raw: Path) -> RawFile:
    """Return the file that data/raw/source.json names; raise UserError if that is missing."""
    try:
        source = json.loads((raw / "source.json").read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: run the download stage first.") from None
    return RawFile(raw / source["file"], cifar if source["source"] == "cifar10" else archives)


def decode_all(
    members: Iterable[tuple[str, bytes]], preprocessing: Preprocessing, total: int
) -> Iterator[Decoded]:
    """Decode images in threads; yield them in the order of `members`.

    Only a few images are in memory at once.

    Args:
        members: Path and content of each image.
        preprocessing: How an image becomes a square.
        total: Number of images, for the progress bar.
    """
    workers = os.cpu_count() or 1
    ahead: deque[Future[Decoded]] = deque()
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(desc="split", total=total, unit="images", disable=None) as bar,
    ):
        for path, content in members:
            ahead.append(pool.submit(_decode, path, content, preprocessing))
            if len(ahead) > 4 * workers:
                yield ahead.popleft().result()
                bar.update()
        while ahead:
            yield ahead.popleft().result()
            bar.update()


def _decode(path: str, content: bytes, preprocessing: Preprocessing) -> Decoded:
    digest = hashlib.sha256(content).digest()
    try:
        image = read_image(content, preprocessing)
    except UserError as error:
        return Decoded(path, digest, len(content), None, None, str(error))
    thumbnail = grey_thumbnail(without_padding(image, preprocessing))
    return Decoded(path, digest, len(content), image, thumbnail, "")
