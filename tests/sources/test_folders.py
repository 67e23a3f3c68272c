import os
import socket
import unicodedata
from pathlib import Path

import pytest
from builders.images import encode, noise
from builders.processes import no_root
from builders.sources import write_files

from classifier.core.errors import UserError
from classifier.sources.account import describe_files
from classifier.sources.folders import list_folder, read_image
from classifier.sources.tables import SeenFile

PHOTO = encode(noise(8, 8), "JPEG")


def statuses(folder: Path) -> dict[str, str]:
    return {file.path: file.status for file in list_folder(folder).files}


def test_what_is_an_image_is_decided_by_content_where_the_ending_says_nothing(
    tmp_path: Path,
) -> None:
    files = {"cat/IMG_1": PHOTO, "cat/b.tmp": PHOTO, "cat/c.mp4": b"x", "cat/d.png": b"text"}
    write_files(tmp_path, files)
    assert statuses(tmp_path) == {
        "cat/IMG_1": "image",
        "cat/b.tmp": "image",
        "cat/c.mp4": "no image",
        "cat/d.png": "image",
    }
    for file in list_folder(tmp_path).files:
        assert read_image(tmp_path, file, {}) == files[file.path]


def test_hidden_and_system_files_are_listed_with_their_rule(tmp_path: Path) -> None:
    thumbnail = "cat/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg"
    write_files(tmp_path, {"cat/a.jpg": PHOTO, thumbnail: PHOTO, ".git/HEAD": b"x"})
    (tmp_path / ".git/broken").symlink_to("nowhere")
    listing = list_folder(tmp_path)
    assert listing.folders == ["cat"]
    assert statuses(tmp_path) == {
        ".git/HEAD": "hidden",
        ".git/broken": "hidden",
        "cat/a.jpg": "image",
        thumbnail: "system",
    }


def test_line_counts_what_is_not_used_by_ending_or_rule(tmp_path: Path) -> None:
    others = {"a.MOV": b"x", "cat/b.mov": b"x", "cat/notes.txt": b"x", "cat/x": b"x", ".y": b"z"}
    write_files(tmp_path, {"cat/a.jpg": PHOTO} | others)
    assert describe_files(list_folder(tmp_path).files) == (
        "1 image; not used: 2 .mov, 1 .txt, 1 hidden, 1 without ending"
    )
    write_files(tmp_path, {f"a.{letter}": b"x" for letter in "bcdefghij"})
    assert describe_files(list_folder(tmp_path).files).endswith(", 1 .g, 1 .h, 5 more")


def test_pipes_and_sockets_are_named_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {"cat/a.jpg": PHOTO})
    os.mkfifo(tmp_path / "cat/pipe.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("cat/socket")
    assert describe_files(list_folder(tmp_path).files) == (
        "1 image; not used: 1 special (a pipe (FIFO)), 1 special (a socket)"
    )


def test_names_that_differ_only_in_unicode_form_are_refused(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        write_files(tmp_path, {unicodedata.normalize(form, "cat/é.jpg"): PHOTO})
    if len(list((tmp_path / "cat").iterdir())) == 1:
        pytest.skip("this file system makes one name of both")
    with pytest.raises(UserError, match=r"holds cat/é\.jpg twice, in two forms of Unicode"):
        list_folder(tmp_path)


def test_file_that_changes_while_it_is_read_is_a_sentence(tmp_path: Path) -> None:
    write_files(tmp_path, {"cat/a.jpg": PHOTO, "cat/b.jpg": PHOTO})
    listing = list_folder(tmp_path)
    with (tmp_path / "cat/b.jpg").open("ab") as file:
        file.write(b"more")
    same, changed = listing.files
    assert read_image(tmp_path, same, listing.renamed) == PHOTO
    with pytest.raises(UserError, match=r"b\.jpg changes while it is read: wait until it is"):
        read_image(tmp_path, changed, listing.renamed)
    (tmp_path / "cat/b.jpg").unlink()
    with pytest.raises(UserError, match=r"b\.jpg has gone while the images were read"):
        read_image(tmp_path, changed, listing.renamed)


def test_system_folder_that_may_not_be_read_is_passed_over(tmp_path: Path) -> None:
    write_files(tmp_path, {"cat/a.jpg": PHOTO, "System Volume Information/x": b"x"})
    (tmp_path / "System Volume Information").chmod(0)
    with no_root():
        assert statuses(tmp_path) == {"cat/a.jpg": "image"}


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"pets/dog/a.png": b"x", "elsewhere/b.png": b"y"})
    (tmp_path / "pets/dog/b.png").symlink_to("a.png")
    assert list(statuses(tmp_path / "pets")) == ["dog/a.png", "dog/b.png"]
    (tmp_path / "pets/dog/c.png").symlink_to(tmp_path / "elsewhere/b.png")
    with pytest.raises(UserError, match=r"c.png is a link to .+elsewhere/b.png"):
        list_folder(tmp_path / "pets")
    (tmp_path / "pets/dog/c.png").unlink()
    (tmp_path / "pets/cat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="put the images themselves there"):
        list_folder(tmp_path / "pets")


def test_link_to_the_cache_of_dvc_is_read(tmp_path: Path) -> None:
    """As `dvc add pets` leaves it where cache.type is symlink."""
    cached = f"cache/files/md5/23/{'0a' * 15}"
    write_files(tmp_path, {cached: PHOTO, "pets/dog/a.jpg": PHOTO})
    (tmp_path / "pets/dog/b.jpg").symlink_to(tmp_path / cached)
    listing = list_folder(tmp_path / "pets")
    assert [file.path for file in listing.files] == ["dog/a.jpg", "dog/b.jpg"]
    assert read_image(tmp_path / "pets", listing.files[1], listing.renamed) == PHOTO


def test_a_single_row_is_told_in_the_singular() -> None:
    rows = [SeenFile("a", 0, "no file"), SeenFile("b", 0, "ambiguous"), SeenFile("c", 9, "image")]
    assert describe_files(rows) == "1 image; not used: 1 row for several files, 1 row without file"
    assert describe_files([*rows, *rows[:1]]).endswith(
        "2 rows without file, 1 row for several files"
    )
