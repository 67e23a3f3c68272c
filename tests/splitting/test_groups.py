from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.images import class_folders, write_raw
from builders.splits import add_column, split_params
from hypothesis import given
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.data.dataset import SPLITS, load_dataset
from classifier.splitting.groups import column_groups, join_groups
from classifier.splitting.raw_images import RawImage
from classifier.splitting.results import describe_split
from classifier.splitting.split import split

NUMBERS = st.lists(st.integers(0, 4), min_size=12, max_size=12)


def patient_of(path: str) -> str:
    """Of three images each, whatever their class; of every tenth image nobody knows."""
    number = int(path[-7:-4])
    return "" if number % 10 == 9 else f"patient {number // 3}"


def raw_of_patients(folder: Path) -> Path:
    raw = write_raw(folder / "raw", class_folders({"cat": 60, "dog": 45}))
    add_column(raw, "camera", lambda path: path[-5])
    add_column(raw, "patient", patient_of)
    return raw


def test_empty_value_is_no_group() -> None:
    images = [RawImage(f"{i}.png", "cat", None, ("x", name)) for i, name in enumerate("ab a a")]
    images[2] = images[2]._replace(columns=("x", ""))
    assert column_groups(images, 1).tolist() == [1, 2, 0, 1, 3, 1]


@given(NUMBERS, NUMBERS)
def test_who_shares_a_number_is_together_and_nobody_else(one: list[int], two: list[int]) -> None:
    parts = [np.array(one), np.array(two)]
    joined = join_groups(parts, 12)
    reached = np.eye(12, dtype=bool)
    for numbers in parts:
        reached |= (numbers[:, None] == numbers) & (numbers[:, None] > 0)
    for _ in range(12):
        reached = reached @ reached
    together = (joined[:, None] == joined) & (joined[:, None] > 0)
    assert (together | np.eye(12, dtype=bool)).tolist() == reached.tolist()


def test_nothing_to_join_is_no_group() -> None:
    assert join_groups([], 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("duplicates", ["group", "drop", "keep"])
def test_images_of_a_patient_are_in_one_split(tmp_path: Path, duplicates: str) -> None:
    raw = raw_of_patients(tmp_path)
    for seed in range(3):
        params = split_params(group_by=["patient"], duplicates=duplicates, seed=seed)
        split(raw, tmp_path / "split", params)
        manifest = load_dataset(tmp_path / "split").manifest
        known = manifest[manifest["patient"] != ""]
        assert (known.groupby("patient")["split"].nunique() == 1).all()
        assert (known.groupby("patient")["group"].nunique() == 1).all()
        assert (manifest["group"] > 0).equals(manifest["patient"] != "")
        assert manifest["split"].nunique() == 3


def test_duplicate_joins_two_patients(tmp_path: Path) -> None:
    members = class_folders({"cat": 30, "dog": 30})
    members["cat/000.png"] = members["cat/015.png"]
    raw = write_raw(tmp_path / "raw", members)
    add_column(raw, "patient", patient_of)
    for seed in range(4):
        split(raw, tmp_path / "split", split_params(group_by=["patient"], seed=seed))
        manifest = load_dataset(tmp_path / "split").manifest
        joined = manifest[manifest["patient"].isin(["patient 0", "patient 5"])]
        assert joined["group"].nunique() == joined["split"].nunique() == 1


def test_unknown_column_is_refused_before_decoding(tmp_path: Path) -> None:
    raw = raw_of_patients(tmp_path)
    with pytest.raises(UserError, match=r"names person, but .+ are: camera, patient\."):
        split(raw, tmp_path / "split", split_params(group_by=["patient", "person"]))
    assert not (tmp_path / "split").exists()


def test_deviation_that_groups_cause_is_said(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", class_folders({"cat": 40, "dog": 40}))
    add_column(raw, "patient", lambda path: path[:3] + path[-7:-5])
    params = split_params(group_by=["patient"])
    result = split(raw, tmp_path / "split", params)
    dataset = load_dataset(tmp_path / "split")
    lines = describe_split(dataset, result, params)
    told = "8 groups of two or more images by patient, joined with duplicates; 0 images alone"
    assert told in lines
    # Groups of ten: neither 8 nor 4 images can be had.
    sizes = pd.Series(dataset.manifest["split"]).value_counts()
    said = f"test {sizes['test'] / 80:.1%} (20.0%); most in "
    assert any(said in line for line in lines)
    plain = split_params()
    result = split(raw, tmp_path / "split", plain)
    lines = describe_split(load_dataset(tmp_path / "split"), result, plain)
    assert not any("groups" in line for line in lines)


def test_deviation_of_one_class_alone_is_said_with_its_sizes(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", class_folders({"cat": 40, "dog": 40}))
    add_column(raw, "patient", lambda path: path[-7:-5] if path.startswith("dog") else "")
    params = split_params(group_by=["patient"])
    result = split(raw, tmp_path / "split", params)
    dataset = load_dataset(tmp_path / "split")
    cats, dogs = ([int(dataset.class_counts(s)[place]) for s in SPLITS] for place in (0, 1))
    plain = [28, 4, 8]
    assert cats == plain
    places = np.abs(np.subtract(dogs, plain))
    most = int(places.argmax())
    (line,) = [line for line in describe_split(dataset, result, params) if "groups change" in line]
    assert line.endswith(f"; most in dog, {SPLITS[most]}: {dogs[most]} images ({plain[most]})")
