import pytest

from classifier.core.errors import UserError
from classifier.sources.layout import locate_images
from classifier.sources.tables import LabelledImage, SplitName


def facts(*paths: str) -> set[tuple[str, SplitName]]:
    return {(image.class_name, image.split) for image in locate_images(sorted(paths))}


def test_class_is_the_folder() -> None:
    assert locate_images(["black cat/x, y.png", "dog/b.png"]) == [
        LabelledImage("black cat/x, y.png", "black cat", ""),
        LabelledImage("dog/b.png", "dog", ""),
    ]


@pytest.mark.parametrize("prefix", ["", "pets/", "a/b/c/", "train/", "test/train/"])
@pytest.mark.parametrize("below", ["", "big/"])
def test_folders_around_classes_do_not_matter(prefix: str, below: str) -> None:
    found = facts(f"{prefix}{below}cat/1.png", f"{prefix}dog/1.png")
    assert found == {("cat", ""), ("dog", "")}


@pytest.mark.parametrize("prefix", ["", "pets/", "a/b/", "train/"])
@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val", "VALID"])
def test_folders_of_splits_are_honoured_below_what_all_share(prefix: str, val: str) -> None:
    paths = [f"{prefix}{split}/cat/1.png" for split in ("Train", val, "test")]
    assert facts(*paths) == {("cat", "train"), ("cat", "val"), ("cat", "test")}
    assert facts(*paths[:1], *paths[2:]) == {("cat", "train"), ("cat", "test")}


def test_class_may_be_called_train() -> None:
    assert facts("car/1.png", "train/1.png", "bus/1.png") == {
        ("car", ""), ("train", ""), ("bus", ""),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["cat/1.png", "2.png"], "2.png lies in no folder"),
        (["train/cat/1.png", "test/2.png"], "test/2.png is in no folder of a split and a class"),
        (["train/cat/1.png", "more/cat/2.png"], "more/cat/2.png is in no folder of a split"),
        (["val/cat/1.png", "test/cat/2.png"], "but no folder train/"),
    ],
)
def test_images_beside_the_others_folders_are_refused(paths: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        locate_images(sorted(paths))
