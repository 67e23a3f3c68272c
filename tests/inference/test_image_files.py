from pathlib import Path

import pytest
from builders.colours import write_images
from builders.images import KINDS, write_archive

from classifier.core.errors import UserError
from classifier.inference.image_files import count_images, expand_names, read_images


def names_of(*names: str, standard_input: list[str] | None = None) -> list[str]:
    return [str(path) for path in expand_names(names, standard_input or [])]


def test_folder_stands_for_all_image_files_below_it_sorted(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    expected = [str(tmp_path / name) for name in ("a-red.png", "b-green.jpg", "more/c-blue.webp")]
    assert names_of(str(tmp_path)) == expected


def test_pattern_stands_for_what_matches_it(tmp_path: Path) -> None:
    write_images(tmp_path)
    assert names_of(f"{tmp_path}/*.jpg") == [str(tmp_path / "b-green.jpg")]
    assert names_of(f"{tmp_path}/**/*.webp") == [str(tmp_path / "more/c-blue.webp")]


def test_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].png").write_bytes(b"")
    (tmp_path / "a1.png").write_bytes(b"")
    assert names_of(f"{tmp_path}/a[1].png") == [f"{tmp_path}/a[1].png"]


def test_dash_stands_for_the_lines_of_standard_input() -> None:
    lines = ["b.png\n", "\n", "a [x].png\r\n", "no newline.png"]
    assert names_of("first.png", "-", standard_input=lines) == [
        "first.png",
        "b.png",
        "a [x].png",
        "no newline.png",
    ]


def test_missing_names_are_kept_to_be_reported() -> None:
    assert names_of("missing.png", "missing*.png") == ["missing.png", "missing*.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_archive_gives_its_images_without_being_extracted(tmp_path: Path, kind: str) -> None:
    members = {"x/b.png": b"1", "x/a.JPG": b"2", "read.me": b"3"}
    path = write_archive(tmp_path / f"some.{kind}", members)
    found = list(read_images([path]))
    assert found == [(f"{path}/x/b.png", b"1"), (f"{path}/x/a.JPG", b"2")]
    assert count_images([path, Path("more.png")]) == (3 if kind == "zip" else None)


def problems(path: Path) -> str:
    """The problem named for a path between two good ones."""
    first, *middle, last = read_images([Path("first.png"), path, Path("last.png")])
    assert (first.content, last.content) == (Path("first.png"), Path("last.png"))
    assert isinstance(middle[-1].content, UserError)
    return str(middle[-1].content)


def test_damaged_archive_is_reported_and_the_rest_is_found(tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    path.write_bytes(b"PK\x03\x04 cut short")
    assert "is damaged or cut short" in problems(path)
    assert count_images([path]) == 1


def test_folder_and_archive_without_images_are_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no image files lie in this folder" in problems(tmp_path / "empty")
    path = write_archive(tmp_path / "texts.zip", {"read.me": b""})
    assert "no image files lie in this archive" in problems(path)
