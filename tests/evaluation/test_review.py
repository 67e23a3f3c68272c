from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.tiny import write_split

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.labels.review import read_duplicates, review_cases

COLUMNS = ["path", "class", "split", "other_path", "other_class", "other_split"]
COLUMNS += ["kind", "contradiction", "leak"]
NO_DUPLICATES = pd.DataFrame(columns=COLUMNS)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path)


def certain(dataset: Dataset) -> np.ndarray:
    """Probabilities of a model that agrees with every label."""
    return np.where(np.eye(3)[dataset.labels] == 1, 0.9, 0.05)


def test_label_that_the_model_doubts_is_a_case_with_its_suggestion(dataset: Dataset) -> None:
    given = certain(dataset)
    wrong = (dataset.labels[7] + 1) % 3
    given[7] = np.where(np.arange(3) == wrong, 0.9, 0.05)
    (case,) = review_cases(dataset, np.eye(60), given, NO_DUPLICATES)
    assert (case.row, case.suggested, case.confidence) == (7, wrong, 0.9)
    assert f"the model says {dataset.classes[wrong]} with 90%" in case.reason


def test_duplicates_with_two_labels_or_in_two_splits_come_first_each_with_the_other(
    dataset: Dataset,
) -> None:
    paths = dataset.manifest["path"]
    row = (paths[3], "red", "train", paths[50], "blue", "test", "near", True, True)
    harmless = (paths[1], "red", "train", paths[2], "red", "train", "file", False, False)
    given = certain(dataset)
    given[7] = given[7][::-1] if dataset.labels[7] != 1 else [0.9, 0.05, 0.05]
    duplicates = pd.DataFrame([row, harmless], columns=COLUMNS)
    cases = review_cases(dataset, np.eye(60), given, duplicates)
    assert [case.row for case in cases] == [3, 50, 7]
    assert cases[0].similar[0] == 50
    assert f"near-duplicate, {paths[50]}, has the label blue in test" in cases[0].reason


def test_similar_images_are_those_with_the_nearest_features(dataset: Dataset) -> None:
    features = np.random.default_rng(0).normal(size=(60, 5))
    features[20] = features[7] * 2
    features[31] = features[7] + 0.01
    given = certain(dataset)
    given[7] = np.roll(given[7], 1)
    (case,) = review_cases(dataset, features, given, NO_DUPLICATES)
    shown = [*case.nearest, *case.similar]
    assert {20, 31} <= set(shown)
    assert 7 not in shown
    assert len(shown) == len(set(shown))


def test_nearest_training_images_are_of_the_training_split_and_no_duplicates(
    dataset: Dataset,
) -> None:
    features = np.random.default_rng(0).normal(size=(60, 5))
    paths, training = dataset.manifest["path"], dataset.rows("train")
    row, other = dataset.rows("test")[0], dataset.rows("val")[0]
    features[[other, *training[:4]]] = features[row] * 2
    pair = (paths[row], "red", "test", paths[training[0]], "red", "train", "near", False, True)
    cases = review_cases(dataset, features, certain(dataset), pd.DataFrame([pair], columns=COLUMNS))
    assert cases[0].row == row
    assert sorted(cases[0].nearest) == training[1:4].tolist()
    assert cases[0].similar[:2] == [training[0], other]


def test_missing_table_of_duplicates_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the split stage"):
        read_duplicates(tmp_path / "duplicates.csv")
