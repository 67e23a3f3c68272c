import csv
from pathlib import Path

from builders.images import class_folders, encode, noise, write_raw
from builders.splits import split_params

from classifier.data.dataset import load_dataset
from classifier.sources import tables
from classifier.sources.corrections import Correction
from classifier.splitting.files_account import COLUMNS, write_account
from classifier.splitting.split import split

COPIED = encode(noise(8, 8, 1))
MEMBERS = class_folders({"cat": 20, "dog": 20, "eel": 2, "fox": 9}, prefix="train/") | {
    **class_folders({"cat": 4, "dog": 4}, prefix="test/"),
    "train/dog/copy 1.png": COPIED,
    "train/dog/copy 2.png": COPIED,
    "train/cat/bad.jpg": b"no image",
    "train/cat/.hidden.png": COPIED,
    "train/readme.txt": b"text",
}
CORRECTIONS = [
    Correction("train/cat/000.png", "dog", "it barks"),
    Correction("train/cat/001.png", "exclude", "blurred"),
]


def account(folder: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """The line, and the rows by path."""
    raw = write_raw(folder / "raw", MEMBERS)
    params = split_params(
        duplicates="drop",
        on_bad_image="skip",
        exclude_classes=["fox"],
        allow_missing_classes=True,
    )
    result = split(raw, folder / "split", params, CORRECTIONS)
    dataset = load_dataset(folder / "split")
    line = write_account(folder / "files.csv", raw, dataset, result)
    with (folder / "files.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["path"] for row in rows] == sorted(MEMBERS)
    return line, {row["path"]: row for row in rows}


def test_every_file_has_its_end(tmp_path: Path) -> None:
    line, rows = account(tmp_path)
    ends = {
        "train/cat/000.png": ("used", "given", "dog", "corrected from cat: it barks"),
        "train/cat/001.png": ("excluded", "", "", "blurred"),
        "train/cat/bad.jpg": ("unreadable", "", "", None),
        "train/cat/.hidden.png": ("hidden", "", "", None),
        "train/dog/copy 2.png": ("duplicate", "", "", "of train/dog/copy 1.png"),
        "train/eel/000.png": ("dropped", "", "", "its class has fewer than 3 images"),
        "train/fox/000.png": ("excluded", "", "", "split.exclude_classes"),
        "train/readme.txt": ("no image", "", "", None),
        "test/dog/000.png": ("used", "given", "dog", ""),
    }
    for path, (status, origin, name, reason) in ends.items():
        row = rows[path]
        assert (row["status"], row["class"]) == (status, name), path
        assert row["origin"] == origin or row["split"] == "val", path
        assert reason is None or row["reason"] == reason, path
    assert {row["origin"] for row in rows.values() if row["split"] == "val"} == {"drawn"}
    assert line == (
        "used 48 images; not used: 10 excluded, 2 dropped, 1 .txt, 1 duplicate, 1 hidden, "
        "1 unreadable"
    )


def test_split_is_given_only_to_images_of_which_the_data_says_it(tmp_path: Path) -> None:
    members = class_folders({"cat": 20, "dog": 20})
    raw = write_raw(tmp_path / "raw", members)
    images = list(tables.read_labels(raw / tables.LABELS))
    said = dict(zip(sorted(members), 10 * ["train", "test", "", ""], strict=True))
    given = [image._replace(split=said[image.path]) for image in images]
    tables.write_labels(raw / tables.LABELS, given)
    result = split(raw, tmp_path / "split", split_params())
    path = tmp_path / "files.csv"
    write_account(path, raw, load_dataset(tmp_path / "split"), result)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert (row["origin"] == "given") == (row["split"] == said[row["path"]])


def test_sizes_and_order_are_those_of_the_raw_data(tmp_path: Path) -> None:
    _, rows = account(tmp_path)
    seen = list(tables.read_files(tmp_path / "raw" / tables.FILES))
    assert [(file.path, str(file.size)) for file in seen] == [
        (path, row["bytes"]) for path, row in rows.items()
    ]
