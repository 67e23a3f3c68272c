"""List the files of a folder of images, and read its images."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.processing.formats import IMAGE_SUFFIXES, SNIFF_BYTES, is_image
from classifier.sources.names import TWO_FORMS, clean_name, ending, ignored_by
from classifier.sources.tables import SeenFile

# A file of DVC's cache, which nobody changes in place; its name is the hash of its content.
_CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
_SPECIAL = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class FolderListing(NamedTuple):
    """What lies below a folder.

    Attributes:
        files: Every file, sorted by its cleaned name relative to the folder.
        folders: Cleaned names of all folders that are neither hidden nor the system's.
        renamed: The name on the disk of each file whose cleaned name is another.
    """

    files: list[SeenFile]
    folders: list[str]
    renamed: dict[str, str]


def list_folder(folder: Path) -> FolderListing:
    """Return what lies below `folder`. Pipes, sockets and devices are named, but never opened.

    Raises:
        UserError: There is no such folder, a link leads out of it, or two names are equal but for
            their form in Unicode.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: set download.source to archive, or name a folder.")
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}: correct download.url, or connect the disk that holds "
            "it; `dvc checkout data/raw` brings the images of the last run back."
        )
    listing = FolderListing([], [], {})
    for entry, raw_name in _entries(folder):
        name = clean_name(raw_name)
        if name != raw_name:
            listing.renamed[name] = raw_name
        if rule := ignored_by(name):
            if not entry.is_dir(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                listing.files.append(SeenFile(name, size, rule))
        elif entry.is_dir(follow_symlinks=False):
            listing.folders.append(name)
        else:
            listing.files.append(_describe(entry, name, folder))
    listing.files.sort()
    for one, other in zip(listing.files, listing.files[1:], strict=False):
        if one.path == other.path:
            raise UserError(f"{folder} holds {one.path} {TWO_FORMS}")
    return listing


def read_image(folder: Path, file: SeenFile, renamed: Mapping[str, str]) -> bytes:
    """Return the content of an image; `renamed` as in `FolderListing`.

    Raises:
        UserError: The file has changed since it was listed, or changes while it is read.
    """
    return _read(folder / renamed.get(file.path, file.path), file.size)


def read_file(folder: Path, name: str, renamed: Mapping[str, str]) -> bytes | None:
    """Return the content of one file; None if there is no such file."""
    path = folder / renamed.get(name, name)
    return path.read_bytes() if path.is_file() else None


def _entries(folder: Path) -> Iterator[tuple["os.DirEntry[str]", str]]:
    """Yield every entry below `folder` with its name relative to it."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            entries = os.scandir(folder / prefix)
        except PermissionError:
            if ignored_by(prefix.removesuffix("/")):  # such as Windows' System Volume Information
                continue
            raise
        with entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/")
                yield entry, name


def _describe(entry: "os.DirEntry[str]", name: str, folder: Path) -> SeenFile:
    path = Path(entry.path)
    if entry.is_symlink() and not (path.is_file() and _is_watched(path, folder)):
        raise UserError(f"{path} is a link to {path.readlink()}: put the images themselves there.")
    status = entry.stat()
    if kind := _SPECIAL.get(stat.S_IFMT(status.st_mode)):
        return SeenFile(name, 0, "special", kind)
    if ending(name) in IMAGE_SUFFIXES:
        return SeenFile(name, status.st_size, "image")
    with path.open("rb") as file:
        found = is_image(name, file.read(SNIFF_BYTES))
    return SeenFile(name, status.st_size, "image" if found else "no image")


def _is_watched(link: Path, folder: Path) -> bool:
    """Return whether DVC sees a change of what a link leads to: it lies in `folder` or its cache.

    DVC makes links to its cache where `cache.type` in .dvc/config is `symlink`.
    """
    target = link.resolve()
    return target.is_relative_to(folder.resolve()) or bool(_CACHED.search(target.as_posix()))


def _read(path: Path, size: int) -> bytes:
    """Return the content of a file; `size` is what it was when it was listed."""
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            content = file.read()
            after = os.fstat(file.fileno())
    except FileNotFoundError:
        raise UserError(
            f"{path} has gone while the images were read: wait until nothing changes in the "
            "folder, and run the stage again."
        ) from None
    if not before.st_size == after.st_size == len(content) == size or (
        before.st_mtime_ns != after.st_mtime_ns
    ):
        raise UserError(
            f"{path} changes while it is read: wait until it is complete, and run the stage again."
        )
    return content
