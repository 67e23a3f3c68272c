import pytest

from classifier.core.errors import UserError
from classifier.sources.ignore import ignore_files
from classifier.sources.tables import SeenFile

PATHS = ("a/b/c.png", "a/cat/1.png", "a/cat/1_mask.png", "notes/x.txt")


def ignored(*patterns: str) -> list[str]:
    files = [SeenFile(path, 1, "image") for path in PATHS]
    marked, _ = ignore_files(files, [], patterns)
    return [file.path for file in marked if file.status == "ignored"]


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("a/b", PATHS[:1]),
        ("b/", PATHS[:1]),
        ("cat", PATHS[1:3]),
        ("*_mask.png", PATHS[2:3]),
        ("?/cat/1.png", PATHS[1:2]),
        ("a/*.png", ()),
        ("notes", PATHS[3:]),
    ],
)
def test_pattern_fits_names_and_paths(pattern: str, left_out: tuple[str, ...]) -> None:
    if left_out:
        assert ignored(pattern) == list(left_out)
    else:
        with pytest.raises(UserError, match="there is no such file or folder"):
            ignored(pattern)


def test_each_pattern_must_fit_something() -> None:
    with pytest.raises(UserError, match=r"download\.ignore names ca, dog, but"):
        ignored("cat", "dog", "ca")


def test_folders_and_hidden_files_are_left_alone_or_dropped() -> None:
    files = [SeenFile("x/.a", 1, "hidden"), SeenFile("y/b.png", 1, "image")]
    assert ignore_files(files, ["x", "y"], ["x"]) == (files, ["y"])
