"""Find the files in data/raw/ that hold the images, and read images from them."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from classifier.core.errors import UserError
from classifier.core.processes import worker_count
from classifier.core.shards import shard_of
from classifier.sources import archives
from classifier.sources import cifar10 as cifar

Reader = Literal["archives", "cifar10"]


class RawFile(NamedTuple):
    """A file in data/raw/ that holds images, and the module of `sources` that reads it."""

    path: Path
    reader: Reader

    def read(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of the wanted images, in the order of the file.

        Raises:
            UserError: The file is damaged.
        """
        reader = cifar if self.reader == "cifar10" else archives
        yield from reader.read_members(self.path, wanted)

    def reads_in_any_order(self) -> bool:
        """Return whether it takes little time to read a few images of many."""
        return self.reader == "archives" and archives.is_zip(self.path)


class RawFiles(NamedTuple):
    """All files in data/raw/ that hold images.

    Attributes:
        files: One for each shard, or a single one, an archive that stays as it came.
        shards: Number of shards into which the images are divided.
    """

    files: list[RawFile]
    shards: int

    def file_of(self, shard: int) -> RawFile:
        """Return the file that holds the images of a shard."""
        return self.files[shard] if len(self.files) > 1 else self.files[0]


def open_raw(raw: Path) -> RawFiles:
    """Return the files that data/raw/source.json names.

    Raises:
        UserError: source.json or one of the files is missing, or is of an earlier release.
    """
    try:
        source = json.loads((raw / "source.json").read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: run the download stage first.") from None
    if "files" not in source:
        raise UserError(
            f"{raw / 'source.json'} is of an earlier release: run the download stage again."
        )
    reader: Reader = "cifar10" if source["source"] == "cifar10" else "archives"
    files = [RawFile(raw / name, reader) for name in source["files"]]
    if missing := next((file.path for file in files if not file.path.is_file()), None):
        raise UserError(
            f"{missing} is missing: run the download stage again, or `dvc checkout {raw}`."
        )
    return RawFiles(files, source["shards"])


def hash_images(raw: RawFiles, paths: Collection[str]) -> dict[str, bytes]:
    """Return the SHA-256 of each of these images, by path; the files are read in threads.

    Raises:
        UserError: A file is damaged or lacks an image.
    """
    wanted: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        wanted[raw.file_of(shard_of(path, raw.shards)).path].add(path)

    def hash_file(file: RawFile) -> list[tuple[str, bytes]]:
        members = file.read(wanted[file.path].__contains__)
        return [(path, hashlib.sha256(content).digest()) for path, content in members]

    digests: dict[str, bytes] = {}
    files = [file for file in raw.files if file.path in wanted]
    with ThreadPoolExecutor(worker_count()) as pool:
        for file, found in zip(files, pool.map(hash_file, files), strict=True):
            digests.update(found)
            check_complete(file, wanted[file.path], digests)
    return digests


def check_complete(file: RawFile, wanted: Iterable[str], found: Collection[str]) -> None:
    """Raise UserError if one of the wanted images is not among those found in the file."""
    if lacking := min((path for path in wanted if path not in found), default=None):
        raise UserError(
            f"{file.path} does not hold {lacking}, which labels.csv names: run the download stage "
            "again."
        )
