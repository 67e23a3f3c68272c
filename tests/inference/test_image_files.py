import os
from collections import Counter
from pathlib import Path

import pytest
from builders.colours import write_images
from builders.images import KINDS, encode, noise, write_archive

from classifier.core.errors import UserError
from classifier.inference.image_files import find_images, read_images


def names_of(*names: str, standard_input: list[str] | None = None) -> list[str]:
    return [found.name for found in read_images(find_images(names, standard_input or []))]


def test_folder_stands_for_all_image_files_below_it_sorted(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    expected = [str(tmp_path / name) for name in ("a-red.png", "b-green.jpg", "more/c-blue.webp")]
    assert names_of(str(tmp_path)) == expected


def test_every_other_file_of_a_folder_is_listed_with_its_rule(tmp_path: Path) -> None:
    write_images(tmp_path)
    for name in ("a.txt", "b", ".git/config", "@eaDir/a.jpg", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "more")
    search = find_images([str(tmp_path)])
    assert Counter(file.status for file in search.not_used) == {
        "no image": 2, "hidden": 1, "system": 2, "special": 2,
    }  # fmt: skip
    assert search.count == 3
    assert search.several


def test_content_decides_where_the_ending_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(encode(noise(4, 4), "JPEG"))
    (tmp_path / "photo.dat").write_bytes(encode(noise(4, 4), "WEBP"))
    (tmp_path / "text").write_text("P1 is a good plan")
    assert names_of(str(tmp_path)) == [str(tmp_path / "photo"), str(tmp_path / "photo.dat")]


def test_pattern_stands_for_what_matches_it(tmp_path: Path) -> None:
    write_images(tmp_path)
    assert names_of(f"{tmp_path}/*.jpg") == [str(tmp_path / "b-green.jpg")]
    assert names_of(f"{tmp_path}/**/*.webp") == [str(tmp_path / "more/c-blue.webp")]


def test_pattern_that_matches_a_folder_and_its_files_gives_each_once(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    search = find_images([f"{tmp_path}/**"])
    assert search.count == 3
    assert [file.path for file in search.not_used] == [str(tmp_path / "notes.txt")]


def test_pattern_that_matches_a_folder_without_images_takes_the_others(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "empty").mkdir()
    assert names_of(f"{tmp_path}/**") == names_of(str(tmp_path))


def test_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].png").write_bytes(b"")
    (tmp_path / "a1.png").write_bytes(b"")
    assert names_of(f"{tmp_path}/a[1].png") == [f"{tmp_path}/a[1].png"]


def test_named_file_is_an_image_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / ".notes.txt").write_text("no image")
    search = find_images([str(tmp_path / ".notes.txt")])
    assert (search.count, search.not_used, search.several) == (1, [], False)


def test_dash_stands_for_the_lines_of_standard_input() -> None:
    lines = ["b.png\n", "\n", "a [x].png\r\n", "no newline.png"]
    assert names_of("first.png", "-", standard_input=lines) == [
        "first.png",
        "b.png",
        "a [x].png",
        "no newline.png",
    ]


@pytest.mark.parametrize("lines", [[], ["\n", "\r\n"], ["\0"]])
def test_standard_input_without_names_is_refused(lines: list[str]) -> None:
    with pytest.raises(UserError, match="standard input names no images: write their paths"):
        find_images(["-"], lines)


def test_folder_from_standard_input_stands_for_its_images(tmp_path: Path) -> None:
    write_images(tmp_path)
    assert len(names_of("-", standard_input=[f"{tmp_path}\n"])) == 3


def test_missing_names_are_kept_to_be_reported() -> None:
    assert names_of("missing.png", "missing*.png") == ["missing.png", "missing*.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_archive_gives_its_images_without_being_extracted(tmp_path: Path, kind: str) -> None:
    photo = encode(noise(4, 4))
    members = {"x/b.png": b"1", "x/a.JPG": b"2", "read.me": b"3", "x/.c.png": b"", "photo": photo}
    path = write_archive(tmp_path / f"some.{kind}", members)
    search = find_images([str(path), "more.png"])
    found = list(read_images(search))
    assert found == [
        (f"{path}/x/b.png", b"1"),
        (f"{path}/x/a.JPG", b"2"),
        (f"{path}/photo", photo),
        ("more.png", Path("more.png")),
    ]
    assert search.count == 4
    assert [(file.path, file.status) for file in search.not_used] == [
        (f"{path}/read.me", "no image"),
        (f"{path}/x/.c.png", "hidden"),
    ]


def problems(path: Path | str) -> str:
    """What is told of a path between two that are sound."""
    first, *middle, last = read_images(find_images(["first.png", str(path), "last.png"]))
    assert (first.content, last.content) == (Path("first.png"), Path("last.png"))
    assert isinstance(middle[-1].content, UserError)
    return str(middle[-1].content)


def test_damaged_archive_is_reported_and_the_rest_is_found(tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    path.write_bytes(b"PK\x03\x04 cut short")
    assert "is damaged or cut short" in problems(path)
    assert find_images([str(path)]).count == 1


def test_folder_archive_and_pattern_without_images_are_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no image files lie in this folder" in problems(tmp_path / "empty")
    path = write_archive(tmp_path / "texts.zip", {"read.me": b""})
    assert "no image files lie in this archive" in problems(path)
    (tmp_path / "a.txt").write_text("no image")
    assert "no image files match this pattern" in problems(f"{tmp_path}/*.txt")
