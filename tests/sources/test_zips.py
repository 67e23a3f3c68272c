import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from classifier.sources.zips import read_content, read_entries

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def contents_of(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        return {entry.name: read_content(file, entry) for entry in read_entries(path)}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    members=st.dictionaries(NAMES, st.binary(max_size=300), max_size=8),
    packing=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    comment=st.binary(max_size=40),
)
@example(members={}, packing=zipfile.ZIP_STORED, comment=b"PK\x05\x06")
def test_reads_what_zipfile_writes(
    tmp_path: Path, members: dict[str, bytes], packing: int, comment: bytes
) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.comment, info.compress_type = comment, packing
            archive.writestr(info, content)
        archive.comment = comment
    assert contents_of(path) == members


def test_reads_large_archives_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if two members, or thirty bytes, were too many for the records of 16 and 32 bits.
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 30)
    path = tmp_path / "data.zip"
    members = {"a": b"x" * 20, "b": b"y" * 50, "c": bytes(range(200))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    assert b"PK\x06\x06" in path.read_bytes()
    assert contents_of(path) == members
    assert [entry.size for entry in read_entries(path)] == [20, 50, 200]


def test_streamed_zip_is_read(tmp_path: Path) -> None:
    class Pipe:
        """A file that cannot seek: sizes then follow the members instead of leading them."""

        def __init__(self) -> None:
            self.content = b""

        def write(self, data: bytes) -> int:
            self.content += data
            return len(data)

        def flush(self) -> None: ...

    pipe = Pipe()
    with zipfile.ZipFile(cast("IO[bytes]", pipe), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"content" * 9)
    (tmp_path / "data.zip").write_bytes(pipe.content)
    assert contents_of(tmp_path / "data.zip") == {"a": b"content" * 9}


@pytest.mark.parametrize(
    ("stored", "name"), [("Zürich".encode(), "Zürich"), ("Zürich".encode("cp437"), "Zürich")]
)
def test_name_without_a_flag_is_utf8_or_the_code_page_of_old(
    tmp_path: Path, stored: bytes, name: str
) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("n" * len(stored), b"x")
    path.write_bytes(path.read_bytes().replace(b"n" * len(stored), stored))
    assert contents_of(path) == {name: b"x"}


def test_member_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"x" * 100_000_000)
    (entry,) = read_entries(path)
    with path.open("rb") as file, pytest.raises(zipfile.BadZipFile, match="checksum"):
        read_content(file, entry._replace(size=1000))


def zip_of(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, packing)
    return path.read_bytes()


def large_zip_of(path: Path) -> bytes:
    """An archive with a member of the numbers of 64 bits, and the records of large archives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
        patch.setattr(zipfile, "ZIP64_LIMIT", 3)
        return zip_of(path, {"a": b"x" * 50, "b": b"y" * 60})


# Where the records of large archives begin, and which of their numbers lie.
LIES = {
    "the place of the record": (b"PK\x06\x07", 8),
    "the size of the table": (b"PK\x06\x06", 40),
    "the place of the table": (b"PK\x06\x06", 48),
    "the size of a member": (b"\x01\x00\x18\x00", 4),
    "the packed size of a member": (b"\x01\x00\x18\x00", 12),
    "the place of a member": (b"\x01\x00\x18\x00", 20),
}


@pytest.mark.parametrize("value", [1, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("place", LIES.values(), ids=LIES)
def test_numbers_of_64_bits_that_lie_are_refused(
    tmp_path: Path, place: tuple[bytes, int], value: int
) -> None:
    path = tmp_path / "data.zip"
    content = bytearray(large_zip_of(path))
    at = content.rindex(place[0]) + place[1]
    content[at : at + 8] = struct.pack("<Q", value)
    path.write_bytes(content)
    with pytest.raises((zipfile.BadZipFile, zlib.error)):
        contents_of(path)


def test_numbers_of_64_bits_that_are_missing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    content = large_zip_of(path)
    at = content.rindex(b"\x01\x00\x18\x00")
    path.write_bytes(content[:at] + b"\x01\x00\x08\x00" + content[at + 4 :])
    with pytest.raises(zipfile.BadZipFile, match="impossible size"):
        list(read_entries(path))


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """As in a better zip bomb (Fifield, WOOT 2019): a small archive that unpacks to any size."""
    path = tmp_path / "data.zip"
    content = zip_of(path, {"a": bytes(10_000)})
    table = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entries = content[table:end] * 100
    numbers = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 100, 100, len(entries), table, 0)
    path.write_bytes(content[:table] + entries + numbers)
    with pytest.raises(zipfile.BadZipFile, match="overlap"):
        list(read_entries(path))


def test_member_that_calls_itself_otherwise_than_the_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    content = zip_of(path, {"a.png": b"image"})
    path.write_bytes(content.replace(b"a.png", b"b.png", 1))
    with pytest.raises(zipfile.BadZipFile, match=r"disagree on the name a\.png"):
        contents_of(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), is_large=st.booleans())
def test_what_is_read_of_a_damaged_archive_is_what_zipfile_reads(
    tmp_path: Path, data: st.DataObject, is_large: bool
) -> None:
    path = tmp_path / "data.zip"
    content = bytearray(
        large_zip_of(path) if is_large else zip_of(path, {"a": b"x" * 50, "b/c": b"yz"})
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        values = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(values)] = values
    path.write_bytes(content)
    try:
        ours = contents_of(path)
    except (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            theirs = {info.orig_filename: archive.read(info) for info in archive.infolist()}
    # It refuses more: versions of the format, fields that are of no use here, passwords.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return
    assert list(ours.values()) == list(theirs.values())
