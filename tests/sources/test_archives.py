import io
import stat
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from builders.images import KINDS, encode, noise, write_archive

from classifier.core.errors import UserError
from classifier.sources.archives import (
    Member,
    list_members,
    read_members,
    write_zip,
)

CONTENTS = {
    "pets/black cat/a, b.png": b"first",
    "pets/Zürich/日本.jpg": bytes(range(256)) * 40,
    "pets/dog/0.png": b"",
    "readme.txt": b"words",
}


def everything(path: Path) -> dict[str, bytes]:
    return dict(read_members(path, lambda _: True))


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_contents_come_back_in_order(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / f"data.{kind}", CONTENTS)
    assert list_members(path) == [
        Member(name, len(data), "no image" if name == "readme.txt" else "image")
        for name, data in CONTENTS.items()
    ]
    assert list(read_members(path, lambda _: True)) == list(CONTENTS.items())
    chosen = {"readme.txt", "pets/black cat/a, b.png"}
    assert {name for name, _ in read_members(path, chosen.__contains__)} == chosen


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_decided_by_the_content(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / f"data.{kind}", CONTENTS).rename(tmp_path / "download")
    assert everything(path) == CONTENTS


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_and_system_files_are_named_but_not_read(tmp_path: Path, kind: str) -> None:
    hidden = ["__MACOSX/pets/._a.png", "pets/.DS_Store", ".git/a.png", "pets/.thumbs/a.png"]
    members = dict.fromkeys(hidden, b"x") | {"pets/a.png": b"y"}
    path = write_archive(tmp_path / f"data.{kind}", members)
    assert everything(path) == {"pets/a.png": b"y"}
    assert [member.status for member in list_members(path)] == [
        "system", "system", "hidden", "hidden", "image",
    ]  # fmt: skip


def test_folders_links_and_devices_of_a_tar_are_named_but_not_read(tmp_path: Path) -> None:
    path = tmp_path / "data.tar"
    kinds = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    with tarfile.open(path, "w") as archive:
        for kind in kinds:
            info = tarfile.TarInfo(f"special{kind.decode()}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("a.png")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"y"))
    assert everything(path) == {"a.png": b"y"}
    statuses = [member.status for member in list_members(path)]
    assert statuses == ["folder", *["special"] * 4, "image"]


def test_folders_and_links_of_a_zip_are_named_but_not_read(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("pets")
        link = zipfile.ZipInfo("pets/link.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("pets/a.png", b"y")
    assert everything(path) == {"pets/a.png": b"y"}
    statuses = [member.status for member in list_members(path)]
    assert statuses == ["folder", "special", "image"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_known_by_its_content_where_its_ending_says_nothing(
    tmp_path: Path, kind: str
) -> None:
    photo = encode(noise(64, 64), "JPEG")
    members = {"a/IMG_1": photo, "a/b.tmp": encode(noise(8, 8)), "a/c.txt": b"no", "a/d": b""}
    members |= {"a/e.png": b"text", "a/f.2024": b"\xff\xd8"}
    path = write_archive(tmp_path / f"data.{kind}", members)
    found = {member.name: member.status for member in list_members(path)}
    assert [name for name, status in found.items() if status == "image"] == [
        "a/IMG_1", "a/b.tmp", "a/e.png",
    ]  # fmt: skip


def test_readme_packed_by_an_unknown_method_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("readme", b"words")
    assert [member.status for member in list_members(path)] == ["no image"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../a.png", "pets/../../a.png", "/etc/a.png"])
def test_names_that_point_out_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    path = write_archive(tmp_path / f"data.{kind}", {name: b"x"})
    with pytest.raises(UserError, match="points out of its archive"):
        list_members(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_name_that_stands_twice_is_refused(tmp_path: Path, kind: str) -> None:
    decomposed = unicodedata.normalize("NFD", "pets/Zürich/a.png")
    members = {"pets/Zürich/a.png": b"x", decomposed: b"y"}
    with pytest.raises(UserError, match=r"holds pets/Zürich/a\.png twice, in two forms of"):
        list_members(write_archive(tmp_path / f"data.{kind}", members))


def test_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.tar"
    with tarfile.open(path, "w", encoding="latin1", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("caf\xe9.png"))
    with pytest.raises(UserError, match="not UTF-8: rename"):
        list_members(path)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_archive_is_refused_wherever_it_is_cut(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / f"data.{kind}", CONTENTS)
    whole = path.read_bytes()
    # What ends a tar are two empty blocks and a filling; one of the blocks is enough.
    end = len(whole.rstrip(b"\0")) + 512 if kind == "tar" else len(whole)
    for length in [*range(0, end, end // 40), end - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="damaged or cut short"):
            everything(path)
        with pytest.raises(UserError, match="damaged or cut short"):
            list_members(path)


@pytest.mark.parametrize("kind", KINDS)
def test_archives_that_were_joined_are_refused(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / f"data.{kind}", CONTENTS)
    more = write_archive(tmp_path / f"more.{kind}", {"pets/dog/1.png": b"second"})
    path.write_bytes(path.read_bytes() + more.read_bytes())
    said = "table of contents is damaged" if kind == "zip" else "goes on after its end, as tar"
    for read in (list_members, everything):
        with pytest.raises(UserError, match=said):
            read(path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
def test_empty_blocks_may_follow_a_tar(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / f"data.{kind}", CONTENTS)
    filling = write_archive(tmp_path / f"none.{kind}", {}).read_bytes()
    path.write_bytes(path.read_bytes() + filling * 300)
    assert everything(path) == CONTENTS


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_damaged_content_is_refused(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / f"data.{kind}", CONTENTS)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        everything(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>" * 1000, b"PK\x03\x04", b"\x1f\x8b"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is no archive \(zip, tar, tar.gz, tar.xz\)"):
        list_members(path)


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "data.zip", {"a.png": b"x"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"data.zip is encrypted: .+ without a password"):
        list_members(path)


def test_zip_of_another_compression_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.png", b"x" * 100)
    for read in (list_members, everything):
        with pytest.raises(UserError, match=r"a.png is packed .+ 12; pack the images again"):
            read(path)


def test_zip_with_backslashes_has_folders(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "data.zip", {"pets_cat_a.png": b"x"})
    path.write_bytes(path.read_bytes().replace(b"pets_cat_a.png", b"pets\\cat\\a.png"))
    assert everything(path) == {"pets/cat/a.png": b"x"}


def test_written_zip_is_the_same_every_time_and_stored(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        write_zip(tmp_path / name, iter(CONTENTS.items()))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENTS
        assert archive.namelist() == list(CONTENTS)
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert (info.create_system, info.external_attr >> 16) == (3, 0o100644)
    assert everything(tmp_path / "one.zip") == CONTENTS


def test_zip_that_fails_half_way_is_not_left(tmp_path: Path) -> None:
    def entries():
        yield "a.png", b"x"
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        write_zip(tmp_path / "data.zip", entries())
    assert list(tmp_path.iterdir()) == []
