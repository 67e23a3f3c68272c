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
from typing import Literal, NamedTuple

from classifier.core.errors import UserError
from classifier.core.files import replacing
from classifier.processing.formats import IMAGE_SUFFIXES, SNIFF_BYTES, is_image
from classifier.sources.names import TWO_FORMS, ending, ignored_by, plain_name
from classifier.sources.zips import check_method, read_content, read_entries, read_start

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
_WHOLE = -1  # instead of a number of bytes, as in `read`
_FILES = ("image", "no image")  # the entries whose content may be read
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # first bytes; the second are those of an empty one
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


Status = Literal["image", "no image", "hidden", "system", "special", "folder"]


class Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        name: Its cleaned name.
        size: In bytes.
        status: `image` by its ending or its content; `no image`; `hidden` or `system`, see
            `names.ignored_by`; `special` for a link or device; or `folder`.
        written: The name in the form of Unicode that the archive has; empty where that is NFC.
    """

    name: str
    size: int
    status: Status
    written: str = ""


def list_members(path: Path) -> list[Member]:
    """Return the entries of a zip, tar, tar.gz or tar.xz archive, in the archive's order.

    The content decides the kind of the archive, not its name.

    Raises:
        UserError: The archive is of another kind, cut short, damaged or encrypted, or holds one
            name twice or a name that `clean_name` refuses.
    """
    members: list[Member] = []
    seen: dict[str, str] = {}
    with _readable(path):
        for member, start in _walk(path, _bytes_to_sniff):
            if member.status in ("image", "no image"):
                if member.name in seen:
                    same = seen[member.name] == member.written
                    told = "twice: remove one of them." if same else TWO_FORMS
                    raise UserError(f"{path} holds {member.name} {told}")
                seen[member.name] = member.written
            by_content = start is not None and is_image(member.name, start)
            members.append(member._replace(status="image") if by_content else member)
    return members


def read_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the members whose names are wanted, in the archive's order.

    Folders, links, devices, hidden and system files are never yielded.

    Raises:
        UserError: As in `list_members`, and for a member of more than MAX_WANTED bytes.
    """
    with _readable(path):
        for member, content in _walk(path, lambda name: _WHOLE if wanted(name) else 0):
            if content is not None:
                yield member.name, content


def is_zip(path: Path) -> bool:
    """Return whether single members are read without reading all that lie before them."""
    with path.open("rb") as file:
        return file.read(4) in _ZIP


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


def _bytes_to_sniff(name: str) -> int:
    """Return how many bytes say what the file is: none where its ending says so."""
    return 0 if ending(name) in IMAGE_SUFFIXES else SNIFF_BYTES


def _walk(path: Path, wanted: Callable[[str], int]) -> Iterator[tuple[Member, bytes | None]]:
    """Yield every entry of the archive, with the part of its content that is wanted.

    Args:
        path: Of the archive.
        wanted: Returns for the name of a file how many bytes of it are wanted: none (0, which
            yields None), so many of the first, or all (_WHOLE).
    """
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start.startswith(_ZIP):
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
    path: Path, file: BufferedReader, wanted: Callable[[str], int]
) -> Iterator[tuple[Member, bytes | None]]:
    for entry in read_entries(path):
        # Old Windows programs separate folders by a backslash.
        raw_name = entry.name if "/" in entry.name else entry.name.replace("\\", "/")
        kind = stat.S_IFMT(entry.mode)
        is_folder = raw_name.endswith("/") or kind == stat.S_IFDIR
        member = _member(raw_name, entry.size, is_folder, kind in (0, stat.S_IFREG))
        content = None
        if member.status in _FILES:
            if entry.encrypted:
                raise UserError(f"{path} is encrypted: pack the images without a password.")
            if member.status == "image":
                check_method(entry)
            length = wanted(member.name)
            if length == _WHOLE:
                _check_size(path, member)
                content = read_content(file, entry)
            elif length:
                content = read_start(file, entry, length)
        yield member, content


class _Header(tarfile.TarInfo):
    """A tar header that raises ReadError for a name so long that it would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADERS and header.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a name of {header.size:,} bytes")
        return header


def _walk_tar(
    path: Path, stream: BufferedIOBase, wanted: Callable[[str], int]
) -> Iterator[tuple[Member, bytes | None]]:
    # Opened as a pipe (`|`), it is read once from start to end, so that nothing needs a seek.
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", tarinfo=_Header) as archive:
        while (info := archive.next()) is not None:
            # Otherwise it keeps every header. Python's type stubs do not list the attribute.
            archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
            member = _member(info.name, info.size, info.isdir(), info.isreg())
            content = None
            if member.status in _FILES and (length := wanted(member.name)):
                if length == _WHOLE:
                    _check_size(path, member)
                file = archive.extractfile(info)
                assert file is not None
                content = file.read(length)
            yield member, content
        # `tarfile` takes a cut between two members for the end; a whole archive has an empty
        # block there. Reading on makes the decompressor check its sum.
        assert archive.fileobj is not None
        while rest := archive.fileobj.read(1 << 20):
            if rest.strip(b"\0"):
                raise UserError(
                    f"{path} goes on after its end, as tar files that were joined do: unpack each "
                    "of them, and pack all images into one archive."
                )
        if stream.tell() < archive.offset + tarfile.BLOCKSIZE:
            raise tarfile.ReadError("unexpected end of data")


def _member(raw_name: str, size: int, is_folder: bool, is_file: bool) -> Member:
    """Return an entry by its raw name and kind; the status of a file is that of its ending."""
    plain = plain_name(raw_name)
    name = unicodedata.normalize("NFC", plain)
    return Member(
        name,
        0 if is_folder else size,
        _status(name, is_folder=is_folder, is_file=is_file),
        "" if plain == name else plain,
    )


def _status(name: str, *, is_folder: bool, is_file: bool) -> Status:
    if is_folder:
        return "folder"
    if rule := ignored_by(name):
        return rule
    if not is_file:
        return "special"
    return "image" if ending(name) in IMAGE_SUFFIXES else "no image"


def _check_size(path: Path, member: Member) -> None:
    if member.size > MAX_WANTED:
        raise UserError(
            f"{path} holds {member.name} of {member.size:,} bytes; {MAX_WANTED:,} is the limit: "
            "remove it."
        )
