import pytest
from builders.folders import read_folders

PARTS = [f"{name}/{part}/1.png" for name in ("cat", "dog") for part in ("train", "test")]
NAMED = "the names of test/, train/ do not count as splits, since not all images lie in such"


@pytest.mark.parametrize("other", ["emu/1.png", "cat/more/1.png", "dog/more/again/1.png"])
def test_folders_of_splits_that_do_not_count_are_named(other: str) -> None:
    labels = read_folders(*PARTS, other, class_level=1)
    assert {image.split for image in labels.images} == {""}
    assert any(line.startswith(NAMED) for line in labels.lines)


def test_folders_of_splits_above_the_classes_that_do_not_count_are_named() -> None:
    paths = [f"x/{part}/{name}/1.png" for part in ("train", "test") for name in ("cat", "dog")]
    labels = read_folders(*paths, "y/cat/1.png", "y/dog/1.png", class_level=-1)
    assert any(line.startswith(NAMED) for line in labels.lines)


def test_nothing_is_said_of_splits_that_count_or_of_other_folders() -> None:
    kittens = ["cat/in training/1.png", "cat/grown/1.png", "dog/grown/1.png", "dog/1.png"]
    for labels in (
        read_folders(*PARTS),
        read_folders(*kittens, class_level=1),
        read_folders("train/1.png", "test/1.png", class_level=1),
    ):
        assert not any("do not count" in line for line in labels.lines)
