"""Read zip archives with little memory per member.

Python's `zipfile` keeps about 700 bytes for every entry of the table of contents, 700 MB for a
million images; here the table is read entry by entry. The format is described in
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.7 to 4.3.16 and 4.5.3.
"""

import struct
import zlib
from array import array
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile

import numpy as np

_END = struct.Struct("<4s4H2LH")
_LOCATOR_64 = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_START = 1 << 12  # packed bytes that hold the first few hundred, a table of codes included
_ELSEWHERE = 0xFFFFFFFF  # the number is too large for 32 bits and is in the extra field
_MOST = 1 << 62  # bytes; what says more, lies
_MISSING = _MOST + 1


class ZipEntry(NamedTuple):
    """A member's entry in the table of contents.

    Attributes:
        name: Path of the member in the archive.
        encrypted: Whether a password is needed.
        method: How it is packed, by the number that the ZIP format gives it (0: stored).
        crc: CRC-32 of the unpacked bytes.
        packed, size: Bytes in the archive, and when unpacked.
        mode: Type and permissions as in Unix; 0 if the archive does not hold them.
        offset: Where the member begins, in bytes.
    """

    name: str
    encrypted: bool
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    offset: int


def read_entries(path: Path) -> Iterator[ZipEntry]:
    """Yield the entries of the central directory; raise BadZipFile if it is damaged.

    After the last one it raises BadZipFile if members overlap: many that share their bytes unpack
    to far more than any archive of its size holds.
    """
    offsets, packed = array("Q"), array("Q")
    with path.open("rb") as file:
        start, end = _find_table(file)
        file.seek(start)
        while file.tell() < end:
            entry = _read_entry(file)
            if entry.offset + entry.packed > start or entry.size > _MOST:
                raise BadZipFile("an entry states an impossible size")
            offsets.append(entry.offset)
            packed.append(entry.packed)
            yield entry
    _check_apart(np.array(offsets), np.array(packed), start)


def check_method(entry: ZipEntry) -> None:
    """Raise NotImplementedError if the member is packed in another way than usual."""
    if entry.method not in (ZIP_STORED, ZIP_DEFLATED):
        raise NotImplementedError(f"{entry.name} is packed by the unknown method {entry.method}")


def read_content(file: BufferedReader, entry: ZipEntry) -> bytes:
    """Return a member's content; raise BadZipFile, zlib.error or NotImplementedError."""
    check_method(entry)
    _seek_content(file, entry)
    content = file.read(entry.packed)
    if entry.method == ZIP_DEFLATED:
        # At most the stated size and one byte: a small member may unpack to any size.
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, entry.size + 1)
    if len(content) != entry.size or zlib.crc32(content) != entry.crc:
        raise BadZipFile(f"{entry.name} does not have its checksum")
    return content


def read_start(file: BufferedReader, entry: ZipEntry, length: int) -> bytes:
    """Return at most the first `length` bytes of a member; none if its method is unknown.

    Raises BadZipFile or zlib.error.
    """
    _seek_content(file, entry)
    if entry.method == ZIP_STORED:
        return file.read(min(length, entry.packed))
    if entry.method == ZIP_DEFLATED:
        packed = file.read(min(entry.packed, _START))
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, length)
    return b""


def _seek_content(file: BufferedReader, entry: ZipEntry) -> None:
    """Move to the first byte of a member's content; raise BadZipFile."""
    file.seek(entry.offset)
    name_length, extra_length = _unpack(_LOCAL, file, b"PK\x03\x04")[-2:]
    if _decode(file.read(name_length)) != entry.name:
        raise BadZipFile(f"the table of contents and the member disagree on the name {entry.name}")
    file.seek(extra_length, 1)


def _check_apart(offsets: np.ndarray, packed: np.ndarray, end: int) -> None:
    """Raise BadZipFile if members, uint64 `(n,)`, overlap each other or the table at `end`."""
    order = np.argsort(offsets, kind="stable")
    begins = np.append(offsets[order], np.uint64(end))
    if np.any(begins[:-1] + packed[order] + np.uint64(_LOCAL.size) > begins[1:]):
        raise BadZipFile("its members overlap")


def _find_table(file: BufferedReader) -> tuple[int, int]:
    """Return where the central directory begins and ends."""
    length = file.seek(0, 2)
    first = max(0, length - _LONGEST_COMMENT - _END.size)
    file.seek(first)
    tail = file.read()
    place = _find_end(tail)
    *_, size, start, _ = _END.unpack_from(tail, place)
    end = first + place
    file.seek(max(0, end - _LOCATOR_64.size))
    locator = file.read(_LOCATOR_64.size)
    if locator.startswith(b"PK\x06\x07"):  # a zip64 archive
        end = _LOCATOR_64.unpack(locator)[2]
        file.seek(min(end, length))
        *_, size, start = _unpack(_END_64, file, b"PK\x06\x06")
    if start + size != end:
        raise BadZipFile("its table of contents is damaged")
    return start, end


def _find_end(tail: bytes) -> int:
    """Return where in `tail`, the last bytes of the file, the end record begins."""
    place = len(tail)
    while (place := tail.rfind(b"PK\x05\x06", 0, place)) >= 0:
        # The archive's comment follows it, and may hold the same four bytes.
        comment = len(tail) - place - _END.size
        if comment >= 0 and _END.unpack_from(tail, place)[-1] == comment:
            return place
    raise BadZipFile("it has no table of contents")


def _read_entry(file: BufferedReader) -> ZipEntry:
    fields = _unpack(_ENTRY, file, b"PK\x01\x02")
    flags, method = fields[3:5]
    crc, packed, size, name_length, extra_length, comment_length = fields[7:13]
    attributes, offset = fields[15:17]
    name, extra = file.read(name_length), file.read(extra_length)
    file.read(comment_length)
    size, packed, offset = _large_numbers(extra, [size, packed, offset])
    return ZipEntry(
        name=_decode(name),
        encrypted=bool(flags & 1),
        method=method,
        crc=crc,
        packed=packed,
        size=size,
        mode=attributes >> 16,
        offset=offset,
    )


def _large_numbers(extra: bytes, numbers: list[int]) -> list[int]:
    """Replace the numbers that do not fit into 32 bits by those of the extra field."""
    place = 0
    while _ELSEWHERE in numbers and place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        place += 4
        if kind == 1:
            large = iter(struct.unpack_from(f"<{length // 8}Q", extra, place))
            return [next(large, _MISSING) if one == _ELSEWHERE else one for one in numbers]
        place += length
    return numbers


def _decode(name: bytes) -> str:
    """Decode a name as UTF-8, also if the archive does not say so, otherwise as code page 437."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")


def _unpack(fields: struct.Struct, file: BufferedReader, signature: bytes) -> tuple[Any, ...]:
    content = file.read(fields.size)
    if len(content) < fields.size or not content.startswith(signature):
        raise BadZipFile("an entry is missing or damaged")
    return fields.unpack(content)
