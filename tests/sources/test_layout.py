from typing import Any

import pytest
from builders.folders import facts, places, read_folders
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.sources.labelling.labels import KeptOut


def test_class_is_the_folder() -> None:
    assert facts("black cat/x, y.png", "dog/b.png") == {
        "black cat/x, y.png": ("black cat", ""),
        "dog/b.png": ("dog", ""),
    }


@pytest.mark.parametrize("prefix", ["", "pets/", "a/b/c/", "train/", "test/train/"])
def test_folders_around_classes_do_not_matter(prefix: str) -> None:
    assert places(f"{prefix}cat/1.png", f"{prefix}dog/1.png") == {("cat", ""), ("dog", "")}


@pytest.mark.parametrize("inner", ["images", "cat_images"])
def test_one_folder_below_each_class_does_not_matter(inner: str) -> None:
    paths = [f"cat/{inner}/1.png", f"dog/{inner.replace('cat', 'dog')}/1.png"]
    assert places(*paths) == {("cat", ""), ("dog", "")}


# Splits

BOTH = ("cat/1.png", "dog/1.png")


@pytest.mark.parametrize("prefix", ["", "pets/", "a/b/", "train/"])
@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Train", "VALID", "Test"),
        ("training", "validation", "testing"),
        ("training_set", "validation_set", "test_set"),
        ("trainset", "valset", "testset"),
        ("Train Set", "dev", "eval"),
        ("train_images", "val_images", "test_images"),
        ("seg_train", "seg_dev", "seg_test"),
        ("cars_train/cars_train", "cars_val/cars_val", "cars_test/cars_test"),
        ("train/images", "val/images", "test/images"),
        ("train/train", "val/val", "test"),
    ],
)
def test_folders_of_splits_are_known_by_their_usual_names(
    prefix: str, train: str, val: str, test: str
) -> None:
    paths = [f"{prefix}{split}/{name}" for split in (train, val, test) for name in BOTH]
    assert places(*paths) == {
        (name, split) for name in ("cat", "dog") for split in ("train", "val", "test")
    }
    assert places(*paths[:2], *paths[4:]) == {
        (name, split) for name in ("cat", "dog") for split in ("train", "test")
    }


def test_splits_may_lie_below_the_classes() -> None:
    paths = [f"{name}/{split}/1.png" for name in ("cat", "dog") for split in ("train", "test")]
    assert places(*paths) == {
        (name, split) for name in ("cat", "dog") for split in ("train", "test")
    }


def test_splits_below_groups_of_classes_are_honoured_and_the_groups_asked_about() -> None:
    paths = [
        f"{group}/{split}/{name}/1.png"
        for group, names in (("pets", ("cat", "dog")), ("birds", ("owl", "emu")))
        for split in ("train", "test")
        for name in names
    ]
    with pytest.raises(UserError, match=r"set download\.class_level to 1 or 2"):
        read_folders(*paths)
    assert places(*paths, class_level=2) == {
        (name, split) for name in ("cat", "dog", "owl", "emu") for split in ("train", "test")
    }


@pytest.mark.parametrize("names", [("test_tube", "bullet_train"), ("crash_test", "dog")])
def test_a_class_may_have_the_name_of_a_split_in_its_name(names: tuple[str, str]) -> None:
    assert places(*(f"{name}/1.png" for name in names)) == {(name, "") for name in names}


@pytest.mark.parametrize("names", [("train", "test"), ("car", "train", "bus"), ("Test", "cat")])
def test_classes_named_like_splits_stop_until_class_level_says_so(names: tuple[str, ...]) -> None:
    paths = [f"{name}/1.png" for name in names]
    with pytest.raises(UserError, match=r"images without a folder for each class: .+class_level"):
        read_folders(*paths)
    assert places(*paths, class_level=1) == {(name, "") for name in names}


def test_named_splits_are_taken_wherever_they_lie() -> None:
    paths = [f"data/{part}/{name}" for part in ("a", "b", "c") for name in BOTH]
    splits = {"train": ["a", "data/b"], "test": "c"}
    labels = read_folders(*paths, splits=splits)
    assert {(image.path[5], image.split) for image in labels.images} == {
        ("a", "train"), ("b", "train"), ("c", "test"),
    }  # fmt: skip
    assert {image.class_name for image in labels.images} == {"cat", "dog"}
    assert "splits: train 4 (a, data/b), test 2 (c)" in labels.lines


def test_images_outside_the_named_splits_take_no_part() -> None:
    paths = [f"{part}/{name}" for part in ("a", "b", "old") for name in BOTH]
    labels = read_folders(*paths, splits={"train": "a", "test": "b"})
    reason = KeptOut("unlabelled", "download.splits does not name old/")
    assert labels.kept_out == {f"old/{name}": reason for name in BOTH}
    assert len(labels.images) == 4


@pytest.mark.parametrize(
    ("splits", "sentence"),
    [
        ({"train": "x"}, "download.splits names x, but no images lie in such a folder; the folders "
         "are a, b"),
        ({"train": "a", "test": ["b", "a"]}, "puts the folder a/cat into two splits"),
        ({"test": "b"}, "names no folder of training images"),
    ],
)  # fmt: skip
def test_wrong_names_of_splits_are_refused(splits: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_folders(*(f"{part}/{name}" for part in "ab" for name in BOTH), splits=splits)


@pytest.mark.parametrize(
    ("flat", "top"),
    [("test/1.png", "test"), ("test/test/1.png", "test"), ("test/images/1.png", "test"),
     ("Testing/1.png", "Testing"), ("unlabelled/1.png", "unlabelled")],
)  # fmt: skip
def test_images_of_a_competition_without_labels_take_no_part(flat: str, top: str) -> None:
    labels = read_folders(*(f"train/{name}" for name in BOTH), flat)
    assert labels.kept_out == {flat: KeptOut("unlabelled", f"{top}/ has no folders of classes")}
    assert {image.split for image in labels.images} == {"train"}
    assert any("`classifier predict` can answer later" in line for line in labels.lines)
    assert "the data gives no val or test: drawn from train" in labels.lines


def test_images_to_predict_are_known_by_the_words_of_the_splits_beside_them() -> None:
    paths = [f"seg_{part}/seg_{part}/{name}" for part in ("train", "test") for name in BOTH]
    labels = read_folders(*paths, "seg_pred/seg_pred/1.png")
    assert list(labels.kept_out) == ["seg_pred/seg_pred/1.png"]


# Readings

YEARS = [f"{name}/{year}/1.png" for name in ("cat", "dog") for year in (2021, 2022)]


def test_nested_folders_stop_with_all_readings() -> None:
    with pytest.raises(UserError) as caught:
        read_folders(*YEARS)
    assert str(caught.value) == (
        "the folders can be read in several ways, as 2 classes by the first folder (cat 2, dog 2) "
        "or 2 classes by the second folder (2021 2, 2022 2): set download.class_level to 1 or 2; "
        "or, if cat/ and dog/ are splits, name them in download.splits: {train: cat, test: dog}."
    )


def test_class_level_decides() -> None:
    assert places(*YEARS, class_level=1) == {("cat", ""), ("dog", "")}
    assert places(*YEARS, class_level=2) == {("2021", ""), ("2022", "")}
    assert places(*YEARS, class_level=-1) == {("2021", ""), ("2022", "")}


def test_a_class_within_a_class_is_asked_about() -> None:
    paths = ["cat/1.png", "cat/kittens/2.png", "dog/1.png"]
    with pytest.raises(UserError) as caught:
        read_folders(*paths)
    assert "2 classes by the first folder (cat 2, dog 1)" in str(caught.value)
    assert "3 classes by the innermost folder (cat 1, dog 1, kittens 1)" in str(caught.value)
    assert "are splits" not in str(caught.value)
    assert places(*paths, class_level=1) == {("cat", ""), ("dog", "")}
    assert places(*paths, class_level=-1) == {("cat", ""), ("dog", ""), ("kittens", "")}


def test_level_deeper_than_the_folders_is_refused() -> None:
    with pytest.raises(UserError, match=r"is 2, but the images in cat/ lie only 1 deep"):
        read_folders("cat/1.png", "dog/big/1.png", class_level=2)
    with pytest.raises(UserError, match="levels begin with 1"):
        read_folders(*BOTH, class_level=0)


@given(
    st.sets(st.sampled_from(["cat", "dog", "owl", "emu"]), min_size=2),
    st.lists(st.sampled_from(["a", "b", "photos", "2024"]), max_size=3),
    st.sampled_from(
        [{}, {"train": "training", "test": "Test"}, {"train": "x_train", "val": "x_dev"}]
    ),
)
def test_classes_are_found_below_any_shared_folders_and_splits(
    classes: set[str], shared: list[str], splits: dict[str, str]
) -> None:
    prefixes = {split: f"{name}/" for split, name in splits.items()} or {"": ""}
    paths = [
        "/".join((*shared, f"{prefix}{name}", f"{i}.png"))
        for prefix in prefixes.values()
        for name in classes
        for i in range(2)
    ]
    assert places(*paths) == {(name, split) for name in classes for split in prefixes}


FOLDERS = st.sampled_from(["train", "test", "Val", "x_train", "x_test", "cat", "dog", "a", "2021"])
TREES = st.sets(
    st.lists(FOLDERS, max_size=4).map("/".join).map(lambda folder: f"{folder}/1.png".lstrip("/")),
    min_size=1,
    max_size=12,
)


@settings(max_examples=500)
@given(TREES, st.sampled_from([None, 1, 2, -1]), st.sampled_from([None, {"train": "a"}]))
def test_each_image_has_a_label_or_a_reason_or_the_stage_stops(
    paths: set[str], level: int | None, splits: dict[str, str] | None
) -> None:
    try:
        labels = read_folders(*paths, class_level=level, splits=splits)
    except UserError:
        return
    assert sorted([*(image.path for image in labels.images), *labels.kept_out]) == sorted(paths)
    for image in labels.images:
        assert image.class_name in image.path.split("/")[:-1]
    assert len({image.class_name for image in labels.images}) > 1


# What cannot be


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["cat/1.png", "2.png"], "2.png lies in no folder of a class"),
        (["pets/cat/1.png", "pets/dog/1.png", "pets/2.png"], "pets/2.png lies in no folder"),
        (["train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/2.png"],
         "images lie in test/ itself, beside the folders of the classes"),
        (["train/cat/1.png", "train/dog/1.png", "more/cat/2.png"],
         "images in more/cat/ are in no folder of a split and a class, as those in train/cat/ are"),
        (["train/1.png", "test/cat/1.png", "test/dog/1.png"], "images in train/ are in no folder"),
        (["val/cat/1.png", "test/cat/2.png", "test/dog/2.png"], "but no training images"),
        (["cat/1.png", "cat/2.png"], "all images .2. are of one class, cat"),
        (["train/cat/1.png", "test/cat/2.png"], "all images .2. are of one class, cat"),
    ],
)  # fmt: skip
def test_what_folders_cannot_say_is_refused(paths: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_folders(*paths)


def test_an_empty_class_folder_and_one_without_images_are_named() -> None:
    holds = "nothing: add images, remove it or, in an archive, name it in download.ignore"
    with pytest.raises(UserError, match=f"the folder emu/ lies beside .+, and holds {holds}"):
        read_folders(*BOTH, folders=("cat", "dog", "emu"))
    with pytest.raises(UserError, match=r"the folder emu/ .+ 2 files .+ or remove it or name it"):
        read_folders(*BOTH, "emu/1.mov", "emu/more/2.mov")
    with pytest.raises(UserError, match=r"the folder train/emu/ .+ holds nothing"):
        read_folders(*(f"train/{name}" for name in BOTH), folders=("train", "train/emu"))


def test_empty_folders_elsewhere_do_not_matter() -> None:
    read_folders(*BOTH, folders=("cat", "cat/empty"))
    paths = [f"{split}/{name}" for split in ("train", "test") for name in BOTH]
    read_folders(*paths[:3], folders=("test/dog",))  # the class has images elsewhere
    read_folders("pets/cat/1.png", "pets/dog/1.png", "notes/readme.txt")


# What is said


def test_lines_name_classes_and_splits() -> None:
    assert read_folders("cat/1.png", "cat/2.png", "dog/1.png").lines == [
        "2 classes: cat 2, dog 1 (from the first folder)",
        "the data gives no splits: train, val and test are drawn",
    ]
    paths = [f"{split}/{name}" for split in ("train", "dev", "Test") for name in BOTH]
    assert read_folders(*paths).lines == [
        "2 classes: cat 3, dog 3 (from the first folder)",
        "splits: train 2 (train), val 2 (dev), test 2 (Test)",
    ]


def test_of_many_classes_ten_are_named() -> None:
    (line, *_) = read_folders(*(f"class {i:02d}/1.png" for i in range(12))).lines
    assert line.startswith("12 classes: class 00 1, ")
    assert line.endswith("class 09 1, and 2 more (from the first folder)")
