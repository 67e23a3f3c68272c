"""Find the images that a user names: files, folders, patterns, archives, paths from a stream."""

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from classifier.core.errors import UserError, describe_os_error
from classifier.processing.formats import IMAGE_SUFFIXES, SNIFF_BYTES, is_image
from classifier.sources.account import describe_files
from classifier.sources.archives import list_members, read_members
from classifier.sources.names import ending, ignored_by
from classifier.sources.tables import SeenFile

Decoded = TypeVar("Decoded")

STANDARD_INPUT = "-"
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".xz", ".txz"})


class Found(NamedTuple):
    """An image by its name: its path, its bytes, or why it cannot be read."""

    name: str
    content: Path | bytes | UserError


class ArchivedImages(NamedTuple):
    """An archive, and the names of the images in it."""

    path: Path
    names: frozenset[str]


class Search:
    """What was found by the names that a user gave.

    Attributes:
        sources: Images, in their order; an archive stands for all of its images.
        not_used: Every other file that was seen in a folder, by a pattern or in an archive.
        several: Whether a name stands for more than one file, so that `not_used` says something.
    """

    def __init__(self) -> None:
        self.sources: list[Found | ArchivedImages] = []
        self.not_used: list[SeenFile] = []
        self.several = False

    @property
    def count(self) -> int:
        """The number of images, with those that cannot be read."""
        archives = [one for one in self.sources if isinstance(one, ArchivedImages)]
        return len(self.sources) - len(archives) + sum(len(one.names) for one in archives)


def find_images(names: Iterable[str], standard_input: Iterable[str] = ()) -> Search:
    """Find the images that are meant.

    A folder stands for the images below it, sorted, an archive for those in it, and a pattern such
    as `photos/**/*.jpg` for what matches it, where no file has that name. The name `-` stands for
    the paths in `standard_input`: one a line, or separated by NUL characters if there is one.

    What a user names is an image, and is reported later if it is none. Elsewhere the ending of a
    file decides, or its content where that says nothing.

    Raises:
        UserError: `-` stands for no paths.
    """
    search = Search()
    for name in names:
        if name == STANDARD_INPUT:
            paths = _paths(standard_input)
            if not paths:
                raise UserError(
                    "standard input names no images: write their paths to it, one a line or "
                    "separated by NUL characters."
                )
            for path in paths:
                _add(search, path)
        elif glob.has_magic(name) and not os.path.lexists(name):
            _add_pattern(search, name)
        else:
            _add(search, Path(name))
    return search


def search_folder(folder: Path) -> Search:
    """Find the images below a folder, sorted; every other file is not used.

    A folder below it that cannot be listed is among the sources, with the reason.
    """
    search = Search()
    search.several = True
    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_problem_adder(search)):
        files += [Path(parent, name) for name in names]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        search.not_used += [
            SeenFile(str(Path(parent, name)), 0, "special", "a link to a folder") for name in links
        ]
    for path in sorted(files):
        _add_seen(search, path, path.relative_to(folder).as_posix())
    return search


def read_images(search: Search) -> Iterator[Found]:
    """Yield the images in their order; archives are not extracted.

    What cannot be read is yielded too, with the reason.
    """
    for source in search.sources:
        if isinstance(source, Found):
            yield source
            continue
        try:
            for name, content in read_members(source.path, source.names.__contains__):
                yield Found(f"{source.path}/{name}", content)
        except UserError as error:
            yield Found(str(source.path), error)


def decode(found: Found, read: Callable[[Path | bytes], Decoded]) -> Decoded | str:
    """Return what `read` makes of an image, or why it cannot be read."""
    if isinstance(found.content, UserError):
        return str(found.content)
    try:
        return read(found.content)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror or describe_os_error(error)}."


def describe_search(search: Search, used: int, unreadable: int) -> str:
    """Return what became of all files, such as `used 412 images; not used: 20 .txt, 3 hidden`."""
    answered = [SeenFile("", 0, "image")] * used
    refused = [SeenFile("", 0, "unreadable")] * unreadable
    return f"used {describe_files([*answered, *search.not_used, *refused])}"


def _paths(standard_input: Iterable[str]) -> list[Path]:
    text = "".join(standard_input)
    if "\0" in text:  # as `find -print0` writes names, which may hold line breaks
        return [Path(name) for name in text.split("\0") if name]
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return [Path(line) for line in lines if line]


def _add(search: Search, path: Path) -> None:
    """Add what a user has named."""
    if path.is_dir():
        _add_folder(search, path)
    elif path.suffix.lower() in ARCHIVE_SUFFIXES and path.is_file():
        _add_archive(search, path)
    else:
        search.sources.append(Found(str(path), path))


def _add_pattern(search: Search, pattern: str) -> None:
    matched = Search()
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path has no absolute patterns)
    for match in map(Path, matches):
        if match.is_dir():
            _add_found(matched, search_folder(match))
        elif match.suffix.lower() in ARCHIVE_SUFFIXES:
            _add(matched, match)
        else:
            _add_seen(matched, match, match.name)
    search.several = True
    # Once each: `photos/**` matches a folder and the files in it.
    search.sources += dict.fromkeys(matched.sources)
    search.not_used += dict.fromkeys(matched.not_used)
    if not matches:
        search.sources.append(Found(pattern, Path(pattern)))
    elif not matched.sources:
        _add_problem(search, pattern, "no image files match this pattern.")


def _add_folder(search: Search, folder: Path) -> None:
    below = search_folder(folder)
    _add_found(search, below)
    search.several = True
    if not below.sources:
        _add_problem(search, str(folder), "no image files lie in this folder.")


def _add_found(search: Search, found: Search) -> None:
    search.sources += found.sources
    search.not_used += found.not_used


def _add_archive(search: Search, path: Path) -> None:
    search.several = True
    try:
        members = list_members(path)
    except UserError as error:
        search.sources.append(Found(str(path), error))
        return
    names = frozenset(member.name for member in members if member.status == "image")
    search.not_used += [
        SeenFile(f"{path}/{member.name}", member.size, member.status)
        for member in members
        if member.status not in ("image", "folder")
    ]
    if names:
        search.sources.append(ArchivedImages(path, names))
    else:
        _add_problem(search, str(path), "no image files lie in this archive.")


def _add_seen(search: Search, path: Path, name: str) -> None:
    """Add a file as an image, or as not used by a rule; `name` is below the folder."""
    status = ignored_by(name) or _status(path)
    if status == "image":
        search.sources.append(Found(str(path), path))
    else:
        search.not_used.append(SeenFile(str(path), 0, status))


def _status(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "special"
        if ending(path.name) in IMAGE_SUFFIXES:
            return "image"
        with path.open("rb") as file:
            return "image" if is_image(path.name, file.read(SNIFF_BYTES)) else "no image"
    except OSError:
        return "image"  # which is reported when it is read


def _problem_adder(search: Search) -> Callable[[OSError], None]:
    def add(error: OSError) -> None:
        _add_problem(search, str(error.filename), f"{error.strerror or describe_os_error(error)}.")

    return add


def _add_problem(search: Search, name: str, reason: str) -> None:
    search.sources.append(Found(name, UserError(reason)))
