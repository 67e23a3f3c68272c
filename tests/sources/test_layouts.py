"""Layouts in which public data sets come: what a user types, and what the stage says."""

from pathlib import Path
from typing import Any

import pytest
from builders.images import encode, noise
from builders.sources import local_params, write_files

from classifier.core.errors import UserError
from classifier.sources.acquire import acquire
from classifier.sources.tables import FILES, LABELS, read_columns, read_files, read_labels

PHOTO = encode(noise(8, 8), "JPEG")


def photos(*names: str) -> dict[str, bytes]:
    return dict.fromkeys(names, PHOTO)


def brought(folder: Path, files: dict[str, bytes], **changes: Any) -> list[str]:
    """The lines that the download stage prints for these files in folder/data."""
    write_files(folder / "data", files)
    return acquire(local_params("folder", folder / "data", **changes), folder / "raw").lines


def labels_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """Class, split and further columns of each image, by its name without folders."""
    images = read_labels(folder / "raw" / LABELS)
    return {
        Path(image.path).name: (image.class_name, image.split, *image.columns) for image in images
    }


def statuses_of(folder: Path) -> dict[str, str]:
    """Status of each file that is no image that takes part."""
    files = read_files(folder / "raw" / FILES)
    return {file.path: file.status for file in files if file.status != "image"}


def test_tutorial_with_train_and_val(tmp_path: Path) -> None:
    folders = [f"{split}/{name}" for split in ("train", "val") for name in ("ants", "bees")]
    names = [f"hymenoptera_data/{folder}/{i}.jpg" for folder in folders for i in range(2)]
    assert brought(tmp_path, photos(*names)) == [
        "8 images",
        "2 classes: ants 4, bees 4 (from the first folder)",
        "splits: train 4 (train), val 4 (val)",
        "the data gives no test: drawn from train",
    ]


def test_training_set_and_test_set(tmp_path: Path) -> None:
    names = [f"dataset/{split}/{name}/{split[:2]}{name}.jpg"
             for split in ("training_set", "test_set") for name in ("cats", "dogs")]  # fmt: skip
    assert brought(tmp_path, photos(*names, "dataset/single_prediction/x.jpg"))[1:] == [
        "2 classes: cats 2, dogs 2 (from the first folder)",
        "splits: train 2 (training_set), test 2 (test_set)",
        "the data gives no val: drawn from train",
        "1 image left out: single_prediction/ has no folders of classes; `classifier predict` "
        "can answer later",
    ]
    assert labels_of(tmp_path)["tecats.jpg"] == ("cats", "test")


def test_flat_folder_with_a_csv_of_ids_without_ending(tmp_path: Path) -> None:
    table = b"id,breed\n0a1,boxer\n0b2,beagle\n0c3,boxer\n"
    files = photos("train/0a1.jpg", "train/0b2.jpg", "train/0c3.jpg") | {"labels.csv": table}
    lines = brought(tmp_path, files, labels={"file": "labels.csv", "path": "id", "class": "breed"})
    assert lines == [
        "3 images; not used: 1 table",
        "2 classes: beagle 1, boxer 2 (from column breed of labels.csv)",
        "the data gives no splits: train, val and test are drawn",
    ]
    assert labels_of(tmp_path)["0b2.jpg"] == ("beagle", "")


def test_one_hot_columns(tmp_path: Path) -> None:
    table = b"image_id,healthy,rust,scab\nTrain_0,0,0,1\nTrain_1,1,0,0\nTrain_2,0,1,0\n"
    files = photos(*(f"images/Train_{i}.jpg" for i in range(3))) | {"train.csv": table}
    labels = {"file": "train.csv", "path": "image_id", "one_hot": ["healthy", "rust", "scab"]}
    assert brought(tmp_path, files, labels=labels)[1] == (
        "3 classes: healthy 1, rust 1, scab 1 (from 3 one-hot columns of train.csv)"
    )
    assert labels_of(tmp_path)["Train_0.jpg"] == ("scab", "")


def test_class_in_the_name_of_the_file(tmp_path: Path) -> None:
    names = [f"train/{name}.{i}.jpg" for name in ("cat", "dog") for i in range(3)]
    lines = brought(tmp_path, photos(*names), pattern=r"(?P<class>[a-z]+)\.\d+")
    assert lines == [
        "6 images",
        "2 classes: cat 3, dog 3 (from download.pattern)",
        "the data gives no splits: train, val and test are drawn",
    ]


def test_competition_whose_test_images_have_no_labels(tmp_path: Path) -> None:
    names = [f"train/{name}/{i}.jpg" for name in ("cat", "dog") for i in range(3)]
    lines = brought(tmp_path, photos(*names, "test/1.jpg", "test/2.jpg"))
    assert lines == [
        "6 images; not used: 2 unlabelled",
        "2 classes: cat 3, dog 3 (from the first folder)",
        "splits: train 6 (train)",
        "the data gives no val or test: drawn from train",
        "2 images left out: test/ has no folders of classes; `classifier predict` can answer later",
    ]
    assert statuses_of(tmp_path) == {"test/1.jpg": "unlabelled", "test/2.jpg": "unlabelled"}


def test_competition_with_a_table_of_the_training_images(tmp_path: Path) -> None:
    files = photos("train/1.jpg", "train/2.jpg", "test/1.jpg")
    files |= {"train.csv": b"id,label\n1,cat\n2,dog\n"}
    labels = {"file": {"train": "train.csv"}, "path": "id", "class": "label"}
    with pytest.raises(UserError, match=r"1 image without row \(the first: test/1\.jpg\)"):
        brought(tmp_path, files, labels=labels)
    assert brought(tmp_path, files, labels=labels, on_bad_row="skip") == [
        "2 images; not used: 1 table, 1 without row",
        "2 classes: cat 1, dog 1 (from column label of train.csv)",
        "splits: train 2 (train.csv)",
        "the data gives no val or test: drawn from train",
    ]
    assert statuses_of(tmp_path) == {"test/1.jpg": "no row", "train.csv": "table"}


def test_patients_are_kept_as_a_column(tmp_path: Path) -> None:
    table = "image;finding;patient;age\nx1.jpg;ill;007;61\nx2.jpg;well;008;\n".encode("utf-8-sig")
    files = photos("scans/x1.jpg", "scans/x2.jpg") | {"meta.csv": table}
    labels = {"file": "meta.csv", "path": "image", "class": "finding", "group": "patient"}
    lines = brought(tmp_path, files, labels=labels)
    assert lines[-1] == (
        "further columns: patient, age; name patient in split.group_by to keep what belongs "
        "together in one split"
    )
    assert read_columns(tmp_path / "raw" / LABELS) == ["patient", "age"]
    assert labels_of(tmp_path) == {"x1.jpg": ("ill", "", "007", "61"),
                                   "x2.jpg": ("well", "", "008", "")}  # fmt: skip


def test_patients_in_the_name_of_the_file(tmp_path: Path) -> None:
    pattern = r"p(?P<patient>\d+)_(?P<class>[a-z]+)"
    brought(tmp_path, photos("a/p1_ill.jpg", "a/p2_well.jpg"), pattern=pattern)
    assert read_columns(tmp_path / "raw" / LABELS) == ["patient"]
    assert labels_of(tmp_path)["p2_well.jpg"] == ("well", "", "2")


def test_photos_of_phones(tmp_path: Path) -> None:
    names = ["cat/IMG_1.HEIC", "cat/IMG_2.JPG", "dog/img_3.avif", "dog/IMG_4", "dog/clip.MOV"]
    files = photos(*names[:4]) | {names[4]: b"\0\0\0\x14ftypqt  "}
    assert brought(tmp_path, files)[0] == "4 images; not used: 1 .mov"
