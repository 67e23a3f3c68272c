"""Projects with a data set and a model that has learnt something of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from builders.backbones import backbone_spec
from builders.tiny import ROOT, tiny_params
from classifier.core.config import read_params
from classifier.data.dataset import Dataset, load_dataset
from classifier.models.bundle import save_bundle
from classifier.models.network import Classifier, build_classifier
from classifier.processing.spec import BundleSpec

CLASSES = ["ape, great", "bée", "Cat", "7"]
SIZE, CROP = 12, 8
AUGMENT = {"flip": 0.5, "crop_padding": 2, "brightness": 0.2, "padding": "edge"}


def make_project(folder: Path, classes: list[str], per_class: int = 30) -> None:
    """A data set of noisy coloured squares, and a model that has learnt something of them."""
    generator = np.random.default_rng(0)
    labels = np.arange(per_class * len(classes)) % len(classes)
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
            "mode": "RGB",
            "bytes": 100,
            "sha256": "0" * 64,
            "group": 0,
        }
    )
    split = folder / "data/split"
    split.mkdir(parents=True)
    np.save(split / "images-0.npy", images)
    np.save(split / "duplicate_images.npy", images[:0].reshape(0, 2, SIZE, SIZE, 3))
    manifest.to_csv(split / "manifest.csv", index=False)
    (split / "classes.json").write_text(json.dumps(classes), "utf-8")
    preprocessing = {"stored_size": SIZE, "resize": "crop", "shards": 1}
    (split / "preprocessing.json").write_text(json.dumps(preprocessing), "utf-8")
    save_model(folder / "models", load_dataset(split), AUGMENT)


def write_manifest(folder: Path, manifest: pd.DataFrame) -> None:
    """Write the manifest of data/split as if the model had been trained on it."""
    manifest.to_csv(folder / "data/split/manifest.csv", index=False)
    path = folder / "models/model.json"
    described = json.loads(path.read_text("utf-8"))
    described["dataset"] = load_dataset(folder / "data/split").digest
    path.write_text(json.dumps(described), "utf-8")


def save_model(folder: Path, dataset: Dataset, augment: dict) -> None:
    params = tiny_params(augment=augment)
    torch.manual_seed(0)
    spec = BundleSpec(
        backbone=backbone_spec(),
        classes=dataset.classes,
        stored_size=SIZE,
        resize="crop",
        white_level=65535,
        max_pixels=89_000_000,
        input_size=CROP,
        mean=(125.0, 125.0, 125.0),
        std=(60.0, 60.0, 60.0),
        temperature=1.5,
        params=params.model_dump(mode="json"),
        dataset=dataset.digest,
    )
    model = build_classifier(
        params.model,
        spec.backbone,
        classes=len(spec.classes),
        input_size=CROP,
        mean=spec.mean,
        std=spec.std,
    ).eval()
    fit_head(model, dataset)
    save_bundle(model, spec, folder)


@torch.no_grad()
def fit_head(model: Classifier, dataset: Dataset) -> None:
    """Least squares from the features of the training images to their classes."""
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


# What differs from params.yaml.
_SECTIONS = read_params(ROOT / "params.yaml")
EVALUATE = _SECTIONS["evaluate"] | {
    "batch_size": 7,
    "calibration_bins": 10,
    "reject_below": None,
    "outside_share": None,
    "coverage": None,
    "costs": None,
    "confused_pairs": 4,
}
TTA = _SECTIONS["tta_evaluate"] | {
    "batch_size": 7,
    "views": ["identity", "flip", "scale_1.2"],
    "random_views": 2,
    "seed": 3,
    "merge": "probabilities",
    "search": "none",
    "candidates": ["flip", "shift_left_2", "shift_up_1"],
    "max_views": 3,
}


def write_evaluation_params(**changes: Any) -> None:
    """Write params.yaml with both evaluation sections; a section's name gives its changes."""
    sections = {"evaluate": EVALUATE, "tta_evaluate": TTA}
    content = {name: section | changes.get(name, {}) for name, section in sections.items()}
    Path("params.yaml").write_text(yaml.safe_dump(content), "utf-8")
