import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.projects import CLASSES, SIZE, make_project

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.models.prediction import load_trained
from classifier.processing.images import Preprocessing
from classifier.processing.softmax import merge_views, probabilities


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path, CLASSES)
    return tmp_path


def test_answers_compare_the_chosen_images_with_their_classes():
    manifest = pd.DataFrame({"label": [2, 0, 1, 1], "split": "test"})
    images = np.zeros((4, SIZE, SIZE, 3), np.uint8)
    dataset = Dataset(images, manifest, ["a", "b", "c"], Preprocessing(SIZE, "crop"))
    given = np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]])
    answers = Answers(dataset, np.array([0, 3]), given)
    assert answers.labels.tolist() == [2, 1]
    assert answers.predicted.tolist() == [2, 0]
    assert answers.right.tolist() == [True, False]


def test_a_model_and_its_data_are_loaded_together(project: Path):
    bundle, dataset = load_trained(project / "models", project / "data/split")
    assert bundle.spec.classes == dataset.classes == CLASSES
    assert not bundle.model.training


@pytest.mark.parametrize(
    ("classes", "difference"),
    [
        ([*CLASSES[:3], "dog"], "7, dog"),
        ([*CLASSES, "dog"], "dog"),
        (CLASSES[::-1], "their order"),
    ],
)
def test_other_classes_than_the_models_are_refused(project, classes, difference):
    (project / "data/split/classes.json").write_text(json.dumps(classes), "utf-8")
    with pytest.raises(UserError, match=rf"other classes .*: {difference}\): run the train stage"):
        load_trained(project / "models", project / "data/split")


def test_images_that_were_prepared_otherwise_are_refused(project: Path):
    preprocessing = {"stored_size": SIZE, "resize": "pad", "shards": 1}
    (project / "data/split/preprocessing.json").write_text(json.dumps(preprocessing), "utf-8")
    said = r"trained on images with resize crop, but .*split holds images with resize pad: run"
    with pytest.raises(UserError, match=said):
        load_trained(project / "models", project / "data/split")


@pytest.mark.parametrize(("column", "value"), [("split", "train"), ("sha256", "00")])
def test_other_images_or_another_split_than_the_models_are_refused(
    project: Path, column: str, value: str
):
    path = project / "data/split/manifest.csv"
    manifest = pd.read_csv(path, dtype=str)
    (test, *_) = manifest.index[manifest["split"] == "test"]
    manifest.loc[test, column] = value
    manifest.to_csv(path, index=False)
    with pytest.raises(UserError, match=r"another split of them, than .*: run `dvc repro`"):
        load_trained(project / "models", project / "data/split")


def test_a_missing_model_is_named(project: Path):
    (project / "models/model.json").unlink()
    with pytest.raises(UserError, match=r"model\.json is missing"):
        load_trained(project / "models", project / "data/split")


def some_logits(views: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3, (views, 5, 4)).astype(np.float32)


def test_merging_probabilities_is_their_mean():
    logits = some_logits(3)
    expected = sum(probabilities(view, 1.5) for view in logits) / 3
    assert merge_views(logits, 1.5, "probabilities") == pytest.approx(expected)


def test_merging_log_probabilities_is_the_geometric_mean():
    logits = some_logits(3)
    product = np.prod([probabilities(view, 1.5) for view in logits], axis=0) ** (1 / 3)
    expected = product / product.sum(axis=1, keepdims=True)
    assert merge_views(logits, 1.5, "log_probabilities") == pytest.approx(expected)


@pytest.mark.parametrize("merge", ["probabilities", "log_probabilities"])
def test_one_view_or_equal_views_merge_to_what_each_says(merge):
    logits = some_logits(1)
    expected = pytest.approx(probabilities(logits[0], 0.7))
    assert merge_views(logits, 0.7, merge) == expected
    assert merge_views(np.repeat(logits, 4, axis=0), 0.7, merge) == expected
