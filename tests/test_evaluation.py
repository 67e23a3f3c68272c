import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import tiny_params

from classifier.bundle import save_bundle
from classifier.dataset import Dataset, load_dataset
from classifier.errors import UserError
from classifier.evaluation import Answers, load_trained
from classifier.images import Preprocessing
from classifier.models import Classifier, build_classifier
from classifier.softmax import merge_views, probabilities
from classifier.spec import BundleSpec

CLASSES = ["ape, great", "bée", "Cat", "7"]
SIZE, CROP = 12, 8
AUGMENT = {"flip": 0.5, "crop_padding": 2, "brightness": 0.2, "padding": "edge"}


def make_project(folder: Path, classes: list[str], pictures: int = 30) -> None:
    """A data set of noisy coloured squares, and a model that has learnt something of them."""
    generator = np.random.default_rng(0)
    labels = np.arange(pictures * len(classes)) % len(classes)
    tints = generator.integers(60, 190, (len(classes), 1, 1, 3))[labels]
    noise = generator.normal(0, 90, (len(labels), SIZE, SIZE, 3))
    images = np.clip(tints + noise, 0, 255).astype(np.uint8)
    manifest = pd.DataFrame(
        {
            "path": [f"{classes[label]}/{i}.png" for i, label in enumerate(labels)],
            "class": [classes[label] for label in labels],
            "label": labels,
            "split": generator.choice(["train", "val", "test"], len(labels), p=[0.4, 0.1, 0.5]),
            "width": SIZE,
            "height": SIZE,
            "sha256": "0" * 64,
            "group": 0,
        }
    )
    split = folder / "data/split"
    split.mkdir(parents=True)
    np.save(split / "images.npy", images)
    manifest.to_csv(split / "manifest.csv", index=False)
    (split / "classes.json").write_text(json.dumps(classes), "utf-8")
    preprocessing = {"image_size": SIZE, "resize": "crop"}
    (split / "preprocessing.json").write_text(json.dumps(preprocessing), "utf-8")
    save_model(folder / "models", load_dataset(split), AUGMENT)


def save_model(folder: Path, dataset: Dataset, augment: dict) -> None:
    params = tiny_params(augment=augment)
    torch.manual_seed(0)
    spec = BundleSpec(
        backbone="compact",
        classes=dataset.classes,
        image_size=SIZE,
        resize="crop",
        crop=CROP,
        mean=(125.0, 125.0, 125.0),
        std=(60.0, 60.0, 60.0),
        temperature=1.5,
        params=params.model_dump(mode="json"),
    )
    model = build_classifier(
        params.model, classes=len(spec.classes), crop=CROP, mean=spec.mean, std=spec.std
    ).eval()
    fit_head(model, dataset)
    save_bundle(model, spec, folder)


@torch.no_grad()
def fit_head(model: Classifier, dataset: Dataset) -> None:
    """Least squares from the features of the training pictures to their classes."""
    rows, margin = dataset.rows("train"), (SIZE - CROP) // 2
    middle = slice(margin, margin + CROP)
    features = model.features(torch.from_numpy(dataset.images[rows][:, middle, middle]))
    targets = 4 * torch.eye(len(dataset.classes))[torch.from_numpy(dataset.labels[rows])]
    centre = features.mean(dim=0)
    scatter = (features - centre).T @ (features - centre)
    ridge = 0.01 * scatter.trace() * torch.eye(len(centre))
    weights = torch.linalg.solve(scatter + ridge, (features - centre).T @ targets)
    linear = model.head.get_submodule("1")
    assert isinstance(linear, torch.nn.Linear)
    linear.weight.copy_(weights.T)
    linear.bias.copy_(-centre @ weights)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path, CLASSES)
    return tmp_path


def test_answers_compare_the_chosen_pictures_with_their_classes():
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
        (["ape, great", "bée", "Cat", "dog"], "7, dog"),
        (CLASSES[:3], "7"),
        (CLASSES[::-1], "their order"),
    ],
)
def test_other_classes_than_the_models_are_refused(project, classes, difference):
    (project / "data/split/classes.json").write_text(json.dumps(classes), "utf-8")
    with pytest.raises(UserError, match=rf"other classes .*: {difference}\): run the train stage"):
        load_trained(project / "models", project / "data/split")


def test_pictures_that_were_prepared_otherwise_are_refused(project: Path):
    preprocessing = {"image_size": SIZE, "resize": "pad"}
    (project / "data/split/preprocessing.json").write_text(json.dumps(preprocessing), "utf-8")
    with pytest.raises(UserError, match=r"resize='crop'.*resize='pad'.*run the train stage"):
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
