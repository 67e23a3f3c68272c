"""Find the images that a user names: files, folders, patterns, archives, paths from a stream."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.processing.formats import IMAGE_SUFFIXES
from classifier.sources.archives import list_members, read_members
from classifier.sources.names import ignored_by

STANDARD_INPUT = "-"
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".xz", ".txz"})


class Found(NamedTuple):
    """An image by its name: its path, its bytes, or why it cannot be read."""

    name: str
    content: Path | bytes | UserError


def expand_names(names: Iterable[str], standard_input: Iterable[str]) -> list[Path]:
    """Return the files that are meant, with folders and patterns replaced by their files, sorted.

    A pattern such as `photos/**/*.jpg` is used where no file has that name. The name `-` stands
    for the lines of `standard_input`, each a path. Missing files stay, to be reported later.
    """
    paths: list[Path] = []
    for name in names:
        if name == STANDARD_INPUT:
            paths += [Path(line) for text in standard_input if (line := text.rstrip("\r\n"))]
        elif glob.has_magic(name) and not os.path.lexists(name):
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (Path has no absolute patterns)
            paths += [file for match in matches for file in _files(Path(match))] or [Path(name)]
        else:
            paths += _files(Path(name))
    return paths


def count_images(paths: Iterable[Path]) -> int | None:
    """Count the images that `read_images` will find; None where that takes reading all of it."""
    count = 0
    for path in paths:
        if not _is_archive(path):
            count += 1
        elif path.suffix.lower() == ".zip":
            try:
                count += sum(
                    _is_image(member.name) and member.status == "image"
                    for member in list_members(path)
                )
            except (UserError, OSError):
                count += 1
        else:
            return None
    return count


def read_images(paths: Iterable[Path]) -> Iterator[Found]:
    """Yield the images in their order; archives are not extracted.

    What cannot be read is yielded too, with the reason.
    """
    for path in paths:
        if path.is_dir():
            yield Found(str(path), UserError("no image files lie in this folder."))
        elif not _is_archive(path):
            yield Found(str(path), path)
        else:
            yield from _members(path)


def _members(path: Path) -> Iterator[Found]:
    empty = True
    try:
        for name, content in read_members(path, _is_image):
            empty = False
            yield Found(f"{path}/{name}", content)
    except UserError as error:
        yield Found(str(path), error)
    else:
        if empty:
            yield Found(str(path), UserError("no image files lie in this archive."))


def _files(path: Path) -> list[Path]:
    """Return the image files below a folder; the path itself where there are none."""
    if not path.is_dir():
        return [path]
    files = [
        Path(parent, name)
        for parent, _, names in os.walk(path)
        for name in names
        if _is_image(name) and not ignored_by(Path(parent, name).relative_to(path).as_posix())
    ]
    return sorted(files) or [path]


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() in ARCHIVE_SUFFIXES and path.is_file()
