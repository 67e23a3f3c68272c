import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.tiny import CLASSES, contents, tiny_bundle, write_split

from classifier.commands import label_errors
from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.labels.label_errors import (
    describe_unjudged,
    held_out_probabilities,
    rank_label_errors,
)


def test_wrong_labels_come_first_and_only_confident_ones_are_sure() -> None:
    given = np.array(
        [[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.1, 0.9, 0.0], [0.0, 0.2, 0.8], [0.45, 0.4, 0.15]]
    )
    rows, likely = rank_label_errors(given, np.array([0, 1, 1, 2, 1]))
    assert rows.tolist() == [1, 4]
    # On average, images of the first class are given it with 0.9.
    assert likely.tolist() == [False, False]
    rows, likely = rank_label_errors(given, np.array([0, 1, 1, 2, 0]))
    assert rows.tolist() == [1]
    assert likely.tolist() == [True]


def test_order_is_that_of_the_distance_to_the_other_class() -> None:
    given = np.array([[0.3, 0.38, 0.32], [0.35, 0.65, 0.0], [0.1, 0.5, 0.4], [0.2, 0.6, 0.2]])
    rows, _ = rank_label_errors(given, np.array([0, 0, 2, 1]))
    assert rows.tolist() == [1, 2, 0]  # margins of 0.3, 0.1 and 0.08


def test_duplicates_are_never_on_both_sides(tmp_path: Path) -> None:
    """Of a pair with noise for features and two labels, neither tells the other's."""
    dataset = write_split(tmp_path)
    features = np.random.default_rng(0).normal(size=(60, 200))
    features[1] = features[0]
    labels = dataset.manifest["label"].to_numpy().copy()
    labels[:2] = 0, 1
    manifest = dataset.manifest.assign(label=labels)
    alone, together = (
        held_out_probabilities(features, replace(dataset, manifest=manifest.assign(group=group)))
        for group in (np.zeros(60, np.int64), np.array([1, 1] + [0] * 58))
    )
    np.testing.assert_array_equal(together[0], together[1])
    assert not np.array_equal(alone[0], alone[1])


def test_program_finds_labels_that_were_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = write_split(tmp_path / "data/split")
    tiny_bundle(tmp_path / "models")
    manifest = dataset.manifest.copy()
    wrong = [3, 30, 45]
    manifest.loc[wrong, "label"] = (manifest["label"][wrong] + 1) % 3
    manifest["class"] = [CLASSES[label] for label in manifest["label"]]
    manifest.to_csv("data/split/manifest.csv", index=False)
    label_errors.main([])
    table = pd.read_csv("results/label_errors.csv")
    expected = {(manifest["path"][row], dataset.manifest["class"][row]) for row in wrong}
    assert set(zip(table["path"], table["suggested"], strict=True)) >= expected
    assert set(table["path"][:3]) == set(manifest["path"][wrong])
    first = contents(Path("results"))
    label_errors.main([])
    assert contents(Path("results")) == first
    assert f"labels in doubt: {len(table)} of 60; probably wrong: " in capsys.readouterr().out
    label_errors.main(["--count", "3", "--label-studio"])
    assert set(pd.read_csv("results/label_errors.csv")["path"]) == set(manifest["path"][wrong])
    assert len(json.loads(Path("results/label_errors.json").read_text("utf-8"))) == 3


def with_few(dataset: Dataset, images: int, group: int = 0) -> Dataset:
    """The data set with as many red images, in this group; the others are green or blue."""
    labels = dataset.labels.copy()
    red = np.flatnonzero(labels == 0)
    labels[red[images:]] = 1 + np.arange(len(red) - images) % 2
    groups = np.where(labels == 0, group, 0)
    return replace(dataset, manifest=dataset.manifest.assign(label=labels, group=groups))


@pytest.mark.parametrize(("images", "group"), [(1, 0), (4, 0), (6, 1)])
def test_class_that_cannot_be_held_out_is_named_and_the_others_are_judged(
    tmp_path: Path, images: int, group: int
) -> None:
    dataset = with_few(write_split(tmp_path), images, group)
    features = np.eye(3)[dataset.labels] * 9
    wrong = np.flatnonzero(dataset.labels == 1)[0]
    features[wrong] = [0, 0, 9]
    given = held_out_probabilities(features, dataset)
    rows, _ = rank_label_errors(given, dataset.labels)
    assert rows.tolist() == [wrong]
    # Each image has an answer out of the classes that are judged.
    np.testing.assert_allclose(given[:, 1:].sum(axis=1), 1)
    said = describe_unjudged(dataset)
    assert said is not None
    assert said.endswith(": red")


def test_nothing_is_said_where_all_classes_are_judged(tmp_path: Path) -> None:
    assert describe_unjudged(with_few(write_split(tmp_path), 5)) is None


def test_data_set_without_two_classes_that_can_be_held_out_is_refused(tmp_path: Path) -> None:
    dataset = with_few(write_split(tmp_path), 4)
    labels = np.where(dataset.labels == 2, 1, dataset.labels)
    with pytest.raises(UserError, match="fewer than two classes have 5 images"):
        held_out_probabilities(
            np.zeros((60, 2)), replace(dataset, manifest=dataset.manifest.assign(label=labels))
        )
