import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.images import cifar_members, class_folders, encode, noise, write_raw
from builders.splits import PETS, split_params, split_up
from builders.tiny import contents

from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.processing.images import read_image
from classifier.sources.corrections import Correction
from classifier.splitting.raw_images import read_labels
from classifier.splitting.results import describe_split
from classifier.splitting.split import split


def test_row_i_describes_image_i(tmp_path: Path) -> None:
    members = PETS | {"pets/dog/wide.jpg": encode(noise(40, 30), "JPEG"), "pets/readme.txt": b"x"}
    dataset = split_up(tmp_path, members)
    manifest = dataset.manifest
    columns = ["path", "class", "label", "split", "width", "height", "mode", "bytes"]
    columns += ["sha256", "group"]
    assert list(manifest.columns) == columns
    assert manifest["path"].tolist() == sorted(set(members) - {"pets/readme.txt"})
    assert dataset.images.shape == (43, 8, 8, 3)
    assert dataset.images.dtype == np.uint8
    assert dataset.classes == ["Zürich, eel", "black cat", "dog"]
    for row, path in enumerate(manifest["path"]):
        image = read_image(members[path], dataset.preprocessing)
        np.testing.assert_array_equal(dataset.images[row], image.pixels)
        expected = (
            path,
            path.split("/")[1],
            dataset.classes.index(path.split("/")[1]),
            manifest["split"][row],
            image.width,
            image.height,
            image.mode,
            len(members[path]),
            hashlib.sha256(members[path]).hexdigest(),
            0,
        )
        assert tuple(manifest.loc[row]) == expected
    assert set(manifest["split"]) == {"train", "val", "test"}


def test_files_are_as_the_contract_says(tmp_path: Path) -> None:
    split_up(tmp_path, PETS, resize="pad")
    files = contents(tmp_path / "split")
    assert list(files) == [
        "classes.json", "duplicate_images.npy", "images-0.npy", "manifest.csv",
        "preprocessing.json",
    ]  # fmt: skip
    assert json.loads(files["classes.json"]) == ["Zürich, eel", "black cat", "dog"]
    assert json.loads(files["preprocessing.json"]) == {
        "stored_size": 8, "resize": "pad", "white_level": 65535, "max_pixels": 89_000_000,
        "shards": 1,
    }  # fmt: skip
    with (tmp_path / "split/manifest.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(PETS)
    assert b"\r" not in files["manifest.csv"]


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    split_up(tmp_path / "one", PETS)
    split_up(tmp_path / "two", dict(reversed(PETS.items())))  # packed in another order
    assert contents(tmp_path / "one/split") == contents(tmp_path / "two/split")


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}}]
)
def test_seed_and_fractions_change_nothing_but_the_manifest(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    split_up(tmp_path, PETS)
    before = contents(tmp_path / "split")
    split_up(tmp_path, PETS, **change)
    after = contents(tmp_path / "split")
    assert {name for name in before if before[name] != after[name]} == {"manifest.csv"}


def test_small_and_excluded_classes_are_left_out(tmp_path: Path) -> None:
    members = PETS | class_folders({"ant": 9, "bee": 11}, prefix="pets/")
    raw = write_raw(tmp_path / "raw", members)
    params = split_params(min_images_per_class=10, exclude_classes=["bee", "Zu\u0308rich, eel"])
    result = split(raw, tmp_path / "split", params)
    assert result.dropped == {"ant": 9}
    assert load_dataset(tmp_path / "split").classes == ["black cat", "dog"]


@pytest.mark.parametrize("lost", ["unreadable", "duplicate", "excluded"])
def test_class_that_loses_all_its_images_is_named(tmp_path: Path, lost: str) -> None:
    members, owls = class_folders({"cat": 9, "dog": 9, "owl": 9}), []
    for number, name in enumerate(sorted(name for name in members if name.startswith("owl/"))):
        owls.append(name)
        cat = sorted(name for name in members if name.startswith("cat/"))[number]
        members[name] = b"" if lost == "unreadable" else members[cat]
    raw = write_raw(tmp_path / "raw", members)
    params = split_params(
        on_bad_image="skip", duplicates="drop" if lost == "duplicate" else "group"
    )
    corrections = [Correction(name, "exclude", "") for name in owls if lost == "excluded"]
    result = split(raw, tmp_path / "split", params, corrections)
    dataset = load_dataset(tmp_path / "split")
    assert dataset.classes == ["cat", "dog"]
    lines = describe_split(dataset, result, params)
    assert "dropped classes with fewer than 3 images: owl 0" in lines


def test_class_that_corrections_have_emptied_may_be_excluded(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", class_folders({"cat": 9, "dog": 9, "owl": 1}))
    owls = [Correction(image.path, "exclude", "") for image in read_labels(raw)[0]]
    owls = [correction for correction in owls if correction.path.startswith("owl/")]
    result = split(raw, tmp_path / "split", split_params(exclude_classes=["owl"]), owls)
    assert result.dropped == {}


def test_folders_of_splits_are_honoured(tmp_path: Path) -> None:
    members = class_folders({"cat": 16, "dog": 8}, prefix="data/train/")
    members |= class_folders({"cat": 2, "dog": 3}, prefix="data/test/")
    manifest = split_up(tmp_path, members).manifest
    counts = manifest.groupby(["class", "split"]).size().to_dict()
    assert counts == {
        ("cat", "train"): 14,
        ("cat", "val"): 2,
        ("cat", "test"): 2,
        ("dog", "train"): 7,
        ("dog", "val"): 1,
        ("dog", "test"): 3,
    }
    in_test = manifest["path"].str.startswith("data/test/")
    assert (in_test == (manifest["split"] == "test")).all()


def test_split_whose_given_images_cannot_be_read_is_said_to_be_drawn(tmp_path: Path) -> None:
    members = class_folders({"cat": 16, "dog": 16}, prefix="train/")
    members |= dict.fromkeys(class_folders({"cat": 3, "dog": 3}, prefix="test/"), b"")
    raw, params = write_raw(tmp_path / "raw", members), split_params(on_bad_image="skip")
    result = split(raw, tmp_path / "split", params)
    first = describe_split(load_dataset(tmp_path / "split"), result, params)[0]
    assert first == "2 classes; train 22, val 4 (drawn from train), test 6 (drawn from train)"


def test_class_without_training_images_is_left_out_where_that_is_allowed(tmp_path: Path) -> None:
    members = class_folders({"cat": 16, "dog": 8, "owl": 8}, prefix="train/")
    members |= class_folders({"cat": 2, "dog": 3, "eel": 4}, prefix="test/")
    raw = write_raw(tmp_path / "raw", members)
    with pytest.raises(UserError, match="add images of eel to train, images of owl to test"):
        split(raw, tmp_path / "split", split_params())
    params = split_params(allow_missing_classes=True)
    result = split(raw, tmp_path / "split", params)
    dataset = load_dataset(tmp_path / "split")
    assert result.untrained == {"eel": 4}
    assert dataset.classes == ["cat", "dog", "owl"]
    assert dataset.missing_classes("test") == ["owl"]
    lines = describe_split(dataset, result, params)
    assert "dropped classes without training images: eel 4" in lines
    assert "no test images of owl: their measures are left out" in lines


def test_class_without_validation_images_keeps_its_measures(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", class_folders({"cat": 40, "owl": 3}))
    params = split_params(allow_missing_classes=True, min_images_per_class=3)
    result = split(raw, tmp_path / "split", params)
    dataset = load_dataset(tmp_path / "split")
    assert dataset.missing_classes("test") == []
    lines = describe_split(dataset, result, params)
    assert "no val images of owl: validation does not see them" in lines


def test_cifar10_keeps_its_test_batch(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", cifar_members(train=24, test=9), source="cifar10")
    split(raw, tmp_path / "split", split_params(stored_size=32))
    dataset = load_dataset(tmp_path / "split")
    assert dataset.classes == ["airplane", "cat", "ship"]
    assert [len(dataset.rows(name)) for name in ("train", "val", "test")] == [42, 6, 9]
    tested = dataset.manifest["path"][dataset.rows("test")]
    assert tested.str.contains("/test_batch_").all()


BAD = {
    "pets/dog/005.png": PETS["pets/dog/005.png"][:60],
    "pets/black cat/000.png": b"no image",
}


def test_bad_image_stops_with_its_name_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^pets/dog/005.png cannot be used: it is damaged .+ skip"):
        split_up(tmp_path, PETS | {"pets/dog/005.png": BAD["pets/dog/005.png"]})
    assert list((tmp_path / "split").iterdir()) == []


def test_skipped_images_leave_no_gap(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", PETS | BAD)
    result = split(raw, tmp_path / "split", split_params(on_bad_image="skip"))
    assert [path for path, _ in result.problems] == sorted(BAD)
    assert "no image in a known format" in result.problems[0][1]
    assert "damaged or cut short" in result.problems[1][1]
    split_up(tmp_path / "good", {name: PETS[name] for name in PETS if name not in BAD})
    assert contents(tmp_path / "split") == contents(tmp_path / "good/split")


def test_class_that_skipping_makes_too_small_is_left_out(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", PETS | BAD | class_folders({"owl": 12}, prefix="pets/"))
    params = split_params(on_bad_image="skip", min_images_per_class=12)
    assert split(raw, tmp_path / "split", params).dropped == {"Zürich, eel": 10, "black cat": 11}
    dataset = load_dataset(tmp_path / "split")
    assert dataset.classes == ["dog", "owl"]
    assert len(dataset.images) == 19 + 12


def test_class_that_is_too_small_for_the_fractions_is_refused_at_once(tmp_path: Path) -> None:
    members = PETS | BAD | class_folders({"ant": 3}, prefix="pets/")
    with pytest.raises(UserError, match=r"not in every split \(ant: train 2, val 0, test 1\)"):
        split_up(tmp_path, members)


def test_split_without_download_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source\.json is missing: run the download stage first"):
        split(tmp_path / "raw", tmp_path / "split", split_params())


def test_unfinished_split_is_not_taken_for_whole(tmp_path: Path) -> None:
    """By a later stage, where an earlier split had ended well."""
    split_up(tmp_path, PETS)
    with pytest.raises(UserError, match="cannot be used"):
        split_up(tmp_path, PETS | BAD)
    with pytest.raises(UserError, match="run the split stage, or fetch the data with `dvc pull`"):
        load_dataset(tmp_path / "split")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": -1}, "split.seed is -1"),
        ({"stored_size": 0}, "split.stored_size is 0"),
        ({"stored_size": 5000}, "split.stored_size is 5000"),
        ({"resize": "squash"}, "split.resize is 'squash'"),
        ({"min_images_per_class": 2}, "split.min_images_per_class is 2"),
        ({"exclude_classes": [3]}, "split.exclude_classes.0 is 3"),
        ({"on_bad_image": "ignore"}, "split.on_bad_image is 'ignore'"),
        ({"duplicates": "find"}, "split.duplicates is 'find'"),
        ({"duplicate_similarity": 0.3}, "split.duplicate_similarity is 0.3"),
        (
            {"fractions": {"train": 0.7, "val": 0.1, "test": 0.1}},
            "split.fractions: train, val and test must add up to 1, not to 0.9",
        ),
        ({"fractions": {"train": 0.8, "val": 0.0, "test": 0.2}}, "split.fractions.val is 0.0"),
    ],
)
def test_params_out_of_range_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        split_params(**change)
    assert sentence in str(caught.value)


PEAK_OF = """
import resource, sys
from pathlib import Path
from builders.splits import PETS, split_params
from classifier.splitting.raw_images import read_labels
from classifier.splitting.results import describe_split
from classifier.splitting.split import split
params = split_params(stored_size=256, duplicates="keep")
for name in ("few", "many"):
    split(Path(sys.argv[1], name), Path(sys.argv[1], "split"), params)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB on Linux alone")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    image = encode(noise(16, 16))
    for name, size in (("few", 20), ("many", 250)):
        members = {f"{kind}/{i}.png": image for kind in ("cat", "dog") for i in range(size)}
        write_raw(tmp_path / name, members)
    command = [sys.executable, "-c", PEAK_OF, str(tmp_path)]
    output = subprocess.run(
        command, cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True
    ).stdout
    few, many = (int(peak) / 1024 for peak in output.split())
    written = (tmp_path / "split/images-0.npy").stat().st_size / 2**20
    assert written > 90
    assert many - few < 10  # MiB
