from pathlib import Path

import pytest
from builders.label_tables import ALL, TABLE, classes, label

from classifier.core.errors import UserError


@pytest.mark.parametrize("shared", ["/home/me/photos/", "C:\\photos\\", "s3://bucket/x/", "x/"])
def test_folders_that_all_names_share_may_be_those_of_another_machine(shared: str) -> None:
    rows = "".join(f"{shared}{path},{kind}\n" for path, kind in ALL.items())
    assert classes(label(f"id,kind\n{rows}")) == ALL


def test_folders_that_names_do_not_share_are_not_cut_off() -> None:
    rows = "id,kind\ntrain/1.png,cat\ntest/2.png,dog\n"
    with pytest.raises(UserError, match=r"2 rows without file \(the first: train/1\.png\)"):
        label(rows, ("1.png", "2.png"))


def test_some_names_may_be_whole_paths_and_others_not() -> None:
    first, *others = ALL.items()
    rows = [(str(Path("pets", first[0]).absolute()), first[1]), *others]
    assert classes(label("id,kind\n" + "".join(f"{path},{kind}\n" for path, kind in rows))) == ALL


ROWS = {"1": "cat", "2": "dog", "3": "cat"}
SPLITS = ("train/1.png", "train/2.png", "test/3.png", "test/4.png")


@pytest.mark.parametrize("begin", ["", "/kaggle/input/", "C:\\data\\"])
def test_row_of_a_missing_file_gets_no_file_of_another_folder(begin: str) -> None:
    rows = "".join(f"{begin}train/{name}.png,{kind}\n" for name, kind in ROWS.items())
    with pytest.raises(UserError, match=r"1 row without file \(the first: .*train.3\.png\)"):
        label(f"id,kind\n{rows}", SPLITS)


@pytest.mark.parametrize("begin", ["", "/kaggle/input/", "/kaggle/input/train/"])
def test_row_of_one_split_gets_no_file_in_a_folder_of_another(begin: str) -> None:
    rows = "".join(f"{begin}{name},{kind},train\n" for name, kind in ROWS.items())
    table = TABLE | {"split": "part"}
    with pytest.raises(UserError, match=r"1 row without file \(the first: .*3\)"):
        label(f"id,kind,part\n{rows}", SPLITS, labels=table)


@pytest.mark.parametrize("folder", ["", "training/", "photos/"])
@pytest.mark.parametrize("begin", ["train/", "/kaggle/input/train/"])
def test_row_of_a_folder_of_another_machine_gets_no_file_of_another_split(
    folder: str, begin: str
) -> None:
    rows = "".join(f"{begin}{name}.png,{kind}\n" for name, kind in ROWS.items())
    with pytest.raises(UserError, match=r"1 row without file \(the first: .*train/3\.png\)"):
        label(f"id,kind\n{rows}", (f"{folder}1.png", f"{folder}2.png", "test/3.png"))


def test_row_of_a_known_folder_gets_no_file_of_another_one() -> None:
    rows = "".join(f"site a/photos/{name}.png,{kind}\n" for name, kind in ROWS.items())
    with pytest.raises(UserError, match=r"1 row without file \(the first: site a/photos/3\.png\)"):
        label(f"id,kind\n{rows}", ("site a/1.png", "site a/2.png", "site b/3.png"))


def test_row_of_train_gets_no_file_of_test_where_train_has_no_folder() -> None:
    rows = "".join(f"{name},{kind},train\n" for name, kind in ROWS.items())
    with pytest.raises(UserError, match=r"1 row without file \(the first: 3\)"):
        label(
            f"id,kind,part\n{rows}",
            ("1.png", "2.png", "test/3.png"),
            labels=TABLE | {"split": "part"},
        )


def test_folders_on_another_machine_may_have_the_name_of_a_split() -> None:
    images = ("train/1.png", "train/2.png", "val/3.png")
    rows = "".join(
        f"/mnt/test/pets/{path},{kind}\n" for path, kind in zip(images, "aba", strict=True)
    )
    assert classes(label(f"id,kind\n{rows}", images)) == dict(zip(images, "aba", strict=True))


def test_class_with_the_word_of_a_split_in_its_name_is_no_split() -> None:
    images = ("bullet_train/1.png", "bullet_train/2.png", "test_tube/3.png", "test_tube/4.png")
    parts = {"1": "train", "2": "test", "3": "train", "4": "test"}
    rows = "".join(f"{name},{name in '12'},{part}\n" for name, part in parts.items())
    labels = label(f"id,kind,part\n{rows}", images, labels=TABLE | {"split": "part"})
    assert [image.split for image in labels.images] == list(parts.values())


def test_row_may_put_an_image_of_one_splits_folder_into_a_split_without_folder() -> None:
    rows = "1,cat,train\n2,dog,val\n3,cat,test\n4,dog,test\n"
    labels = label(f"id,kind,part\n{rows}", SPLITS, labels=TABLE | {"split": "part"})
    assert {image.path: image.split for image in labels.images} == dict(
        zip(SPLITS, ["train", "val", "test", "test"], strict=True)
    )


def test_whole_path_may_name_an_image_of_another_splits_folder() -> None:
    rows = "".join(
        f"{path},{'cat' if number % 2 else 'dog'},train\n" for number, path in enumerate(SPLITS)
    )
    labels = label(f"id,kind,part\n{rows}", SPLITS, labels=TABLE | {"split": "part"})
    assert {image.split for image in labels.images} == {"train"}
