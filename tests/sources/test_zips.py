import zipfile
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
