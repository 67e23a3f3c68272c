from pathlib import Path

import pytest
from builders.images import class_folders, write_raw
from builders.splits import split_params

from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.sources.tables import LABELS, LabelledImage, read_labels, write_labels
from classifier.splitting import raw_images
from classifier.splitting.split import split

PETS = class_folders({"cat": 10, "dog": 10})


def add_column(raw: Path, name: str) -> None:
    """Give each image a number with leading zeros in a further column of labels.csv."""
    images = list(read_labels(raw / LABELS))
    rows = [image._replace(columns=(f"{i:03d}",)) for i, image in enumerate(images)]
    write_labels(raw / LABELS, rows, [name])


def test_further_columns_come_as_text_into_the_manifest(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", PETS)
    add_column(raw, "patient")
    split(raw, tmp_path / "split", split_params())
    manifest = load_dataset(tmp_path / "split").manifest
    assert manifest.columns[-1] == "patient"
    assert manifest["patient"].tolist() == [f"{i:03d}" for i in range(20)]


def test_given_and_open_splits_are_distinguished(tmp_path: Path) -> None:
    rows = [LabelledImage("a.png", "cat", "test", ("7",)), LabelledImage("b.png", "cat", "", ("",))]
    write_labels(tmp_path / LABELS, rows, ["patient"])
    images, columns = raw_images.read_labels(tmp_path)
    assert columns == ["patient"]
    assert images == [
        raw_images.RawImage("a.png", "cat", "test", ("7",)),
        raw_images.RawImage("b.png", "cat", None, ("",)),
    ]


def test_labels_of_an_older_download_are_missed_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv is missing: run the download stage first"):
        raw_images.read_labels(tmp_path)
