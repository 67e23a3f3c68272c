"""Read and write archives of images, member by member, without extracting them to disk."""

import gzip
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.files import replacing
from classifier.sources.zips import read_content, read_entries

_BROKEN = (
    EOFError,
    UnicodeDecodeError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
# Bytes. Larger than any image that is read (`images.MAX_PIXELS`). The limit protects the memory: a
# small archive may unpack to any size.
MAX_WANTED = 1 << 29
_MAX_HEADER = 1 << 20
_MACOS_ICON = "Icon\r"  # the name of the file that holds a folder's own icon
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Member(NamedTuple):
    """A file in an archive: its cleaned name, and its size in bytes."""

    name: str
    size: int


def list_members(path: Path) -> list[Member]:
    """Return the files in a zip, tar, tar.gz or tar.xz archive, in the archive's order.

    The content decides the kind, not the name. Folders, links, devices, hidden files and the
    folders that macOS adds (`__MACOSX`) are left out.

    Raises:
        UserError: The archive is of another kind, cut short, damaged or encrypted, or holds one
            name twice or a name that `clean_name` refuses.
    """
    members: list[Member] = []
    seen: set[str] = set()
    with _readable(path):
        for member, _ in _walk(path, lambda _: False):
            if member.name in seen:
                raise UserError(f"{path} holds {member.name} twice: remove one of them.")
            seen.add(member.name)
            members.append(member)
    return members


def read_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the members whose names are wanted, in the archive's order.

    Raises:
        UserError: As in `list_members`, and for a member of more than MAX_WANTED bytes.
    """
    with _readable(path):
        for member, content in _walk(path, wanted):
            if content is not None:
                yield member.name, content


def clean_name(name: str) -> str:
    """Return `name` without `./` and empty parts, in Unicode's composed form (NFC).

    macOS stores `é` as two characters, other systems as one; in NFC both name the same class.

    Raises:
        UserError: The name is absolute, contains `..`, is not UTF-8, or contains a line break or
            another control character, which breaks tables and terminals.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise UserError(f"the name {name!r} points out of its archive: pack the images again.")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"the name {name!r} is not UTF-8: rename the file.") from None
    if parts and parts[-1] != _MACOS_ICON and any(unicodedata.category(c) == "Cc" for c in name):
        raise UserError(f"the name {name!r} holds a control character: rename the file.")
    return unicodedata.normalize("NFC", "/".join(parts))


def is_hidden(name: str) -> bool:
    """Return whether the cleaned `name` is a hidden or system file, or is in such a folder."""
    return any(
        part.startswith(".") or part in ("__MACOSX", _MACOS_ICON) for part in name.split("/")
    )


def write_zip(path: Path, entries: Iterable[tuple[str, bytes]]) -> None:
    """Write names and contents as an uncompressed zip; the same entries give the same bytes."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, also where this runs on Windows
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:
        raise UserError(f"{path}: {error}; pack the images again, as an ordinary zip.") from error
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise UserError(
            f"{path} is no archive (zip, tar, tar.gz, tar.xz), or is damaged or cut short "
            f"({reason}): get it again."
        ) from error


def _walk(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[Member, bytes | None]]:
    """Yield every file in the archive, with its content if its name is wanted, otherwise None."""
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            yield from _walk_zip(path, file, wanted)
        elif start.startswith(b"\x1f\x8b"):
            with gzip.open(file) as content:
                yield from _walk_tar(path, content, wanted)
        elif start == b"\xfd7zXZ\x00":
            with lzma.open(file) as content:
                yield from _walk_tar(path, content, wanted)
        else:
            yield from _walk_tar(path, file, wanted)


def _walk_zip(
    path: Path, file: BufferedReader, wanted: Callable[[str], bool]
) -> Iterator[tuple[Member, bytes | None]]:
    for entry in read_entries(path):
        # Old Windows programs separate folders by a backslash.
        raw_name = entry.name if "/" in entry.name else entry.name.replace("\\", "/")
        name = clean_name(raw_name)
        is_file = stat.S_IFMT(entry.mode) in (0, stat.S_IFREG) and not raw_name.endswith("/")
        if not is_file or is_hidden(name):
            continue
        if entry.encrypted:
            raise UserError(f"{path} is encrypted: pack the images without a password.")
        content = None
        if wanted(name):
            _check_size(path, name, entry.size)
            content = read_content(file, entry)
        yield Member(name, entry.size), content


class _Header(tarfile.TarInfo):
    """A tar header that raises ReadError for a name so long that it would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADERS and header.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a name of {header.size:,} bytes")
        return header


def _walk_tar(
    path: Path, stream: BufferedIOBase, wanted: Callable[[str], bool]
) -> Iterator[tuple[Member, bytes | None]]:
    # Opened as a pipe (`|`), it is read once from start to end, so that nothing needs a seek.
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", tarinfo=_Header) as archive:
        while (info := archive.next()) is not None:
            # Otherwise it keeps every header. Python's type stubs do not list the attribute.
            archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
            if not info.isreg():
                continue
            name = clean_name(info.name)
            if is_hidden(name):
                continue
            content = None
            if wanted(name):
                _check_size(path, name, info.size)
                file = archive.extractfile(info)
                assert file is not None
                content = file.read()
            yield Member(name, info.size), content
        # `tarfile` takes a cut between two members for the end; a whole archive has an empty
        # block there. Reading on makes the decompressor check its sum.
        while stream.read(1 << 20):
            pass
        if stream.tell() < archive.offset + tarfile.BLOCKSIZE:
            raise tarfile.ReadError("unexpected end of data")


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MAX_WANTED:
        raise UserError(
            f"{path} holds {name} of {size:,} bytes; {MAX_WANTED:,} is the limit: remove it."
        )
