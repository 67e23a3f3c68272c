import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from builders.class_sizes import dataset_of
from builders.tiny import CLASSES, write_split

from classifier.core.errors import UserError
from classifier.data.dataset import SPLITS, load_dataset
from classifier.data.stored_images import StoredImages
from classifier.processing.images import Preprocessing


def test_data_set_is_what_the_folder_holds(tmp_path: Path) -> None:
    write_split(tmp_path, stored_size=6)
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.images, np.load(tmp_path / "images-0.npy"))
    assert dataset.classes == CLASSES
    assert dataset.preprocessing == Preprocessing(6, "crop")
    names = [dataset.classes[label] for label in dataset.labels]
    assert names == dataset.manifest["class"].to_list()


def test_images_are_mapped_not_read(tmp_path: Path) -> None:
    images = write_split(tmp_path).images
    assert isinstance(images, StoredImages)
    assert isinstance(images.shards[0].images.base, np.memmap)


def test_images_in_any_order_are_those_of_the_map(tmp_path: Path) -> None:
    dataset = write_split(tmp_path)
    rows = np.array([59, 3, 3, 0, 17])
    expected = np.array(dataset.images)[rows]
    np.testing.assert_array_equal(dataset.read(rows), expected)
    in_memory = dataclasses.replace(dataset, images=np.array(dataset.images))
    np.testing.assert_array_equal(in_memory.read(rows), expected)


def test_file_that_has_become_shorter_is_reported(tmp_path: Path) -> None:
    dataset = write_split(tmp_path)
    os.truncate(tmp_path / "images-0.npy", (tmp_path / "images-0.npy").stat().st_size - 1)
    assert len(dataset.read(np.array([0]))) == 1
    with pytest.raises(UserError, match=r"images-0\.npy has changed: run the split stage again"):
        dataset.read(np.array([59]))


def test_rows_of_the_splits_ascend_and_part_the_images(tmp_path: Path) -> None:
    dataset = write_split(tmp_path)
    rows = [dataset.rows(split) for split in SPLITS]
    assert [len(part) for part in rows] == [36, 12, 12]
    assert all((np.diff(part) > 0).all() for part in rows)
    assert sorted(np.concatenate(rows)) == list(range(60))
    assert set(dataset.manifest["split"].iloc[rows[1]]) == {"val"}


def test_class_counts_are_those_of_the_split(tmp_path: Path) -> None:
    dataset = write_split(tmp_path)
    assert dataset.class_counts("train").tolist() == [12, 12, 12]
    assert dataset.class_counts("test").tolist() == [4, 4, 4]


def test_class_without_images_in_a_split_counts_zero_there() -> None:
    dataset = dataset_of({"ape": (3, 1, 1), "cat": (2, 0, 1), "dog": (4, 1, 0)})
    counts = [dataset.class_counts(split).tolist() for split in SPLITS]
    assert counts == [[3, 2, 4], [1, 0, 1], [1, 1, 0]]
    assert [dataset.missing_classes(split) for split in SPLITS] == [[], ["cat"], ["dog"]]


def test_names_that_look_like_numbers_or_gaps_stay_text(tmp_path: Path) -> None:
    write_split(tmp_path)
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text("utf-8").replace("red", "NA").replace("blue", "007"), "utf-8")
    assert set(load_dataset(tmp_path).manifest["class"]) == {"NA", "007", "green"}


@pytest.mark.parametrize(
    "name", ["images-0.npy", "manifest.csv", "classes.json", "preprocessing.json"]
)
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_split(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=rf"{name} is missing: run the split stage"):
        load_dataset(tmp_path)


def test_manifest_of_other_images_is_refused(tmp_path: Path) -> None:
    write_split(tmp_path)
    np.save(tmp_path / "images-0.npy", np.zeros((59, 8, 8, 3), np.uint8))
    with pytest.raises(
        UserError,
        match=r"holds 59 images of 8 x 8 pixels, but .* needs 60 images of 8 x 8 pixels there",
    ):
        load_dataset(tmp_path)


@pytest.mark.parametrize("classes", ['["red"]', "{}"])
def test_classes_file_that_lacks_some_of_the_manifest_is_refused(
    tmp_path: Path, classes: str
) -> None:
    write_split(tmp_path)
    (tmp_path / "classes.json").write_text(classes, "utf-8")
    with pytest.raises(UserError, match=r"is damaged \(classes\.json lacks classes of manifest"):
        load_dataset(tmp_path)
