import errno
import hashlib
from pathlib import Path

import pytest
from builders.downloads import CONTENT, RIGHT, WRONG

from classifier.core.errors import UserError
from classifier.sources.fetch import Checksum, check_file, copy_file, link_or_copy, parse_checksum


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "raw/data.zip"


def test_linked_file_replaces_what_was_there(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "kept"
    source.write_bytes(CONTENT)
    for _ in range(2):
        link_or_copy(source, target)
        assert target.samefile(source)


def test_where_links_are_impossible_the_file_is_copied(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, other: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    source = tmp_path / "kept"
    source.write_bytes(CONTENT)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    link_or_copy(source, target)
    assert target.read_bytes() == CONTENT
    assert not target.samefile(source)


@pytest.mark.parametrize(
    "checksum", [None, RIGHT, Checksum("md5", hashlib.md5(CONTENT).hexdigest())]
)
def test_local_file_is_copied(tmp_path: Path, target: Path, checksum: Checksum | None) -> None:
    source = tmp_path / "source.zip"
    source.write_bytes(CONTENT)
    copy_file(source, target, checksum)
    assert target.read_bytes() == source.read_bytes() == CONTENT


def test_local_file_of_another_checksum_stays_and_nothing_is_copied(
    tmp_path: Path, target: Path
) -> None:
    source = tmp_path / "source.zip"
    source.write_bytes(CONTENT)
    with pytest.raises(UserError, match=str(RIGHT)):
        check_file(source, WRONG)
    with pytest.raises(UserError, match=str(RIGHT)):
        copy_file(source, target, WRONG)
    assert source.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == []


def test_missing_file_and_folder_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .+none\.zip: correct download\.url"):
        check_file(tmp_path / "none.zip", None)
    with pytest.raises(UserError, match=r"set download\.source to folder"):
        check_file(tmp_path, None)


def test_checksums_are_read_in_letters_of_any_case() -> None:
    assert parse_checksum("sha256:" + "AB" * 32) == Checksum("sha256", "ab" * 32)
    assert str(parse_checksum("md5:" + "0" * 32)) == "md5:" + "0" * 32


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "0" * 63, "md5:" + "0" * 64, "0" * 64])
def test_other_checksums_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits, or md5: and 32"):
        parse_checksum(text)
