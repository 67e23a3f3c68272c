from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.library import copy_library, edit
from builders.tiny import tiny_model, tiny_params, write_split

from classifier.core import code, versions
from classifier.core.cache import cache_folder
from classifier.data.dataset import Dataset
from classifier.data.random_view import random_view
from classifier.models.extractor import FeatureExtractor
from classifier.models.network import Classifier
from classifier.processing.views import named_view
from classifier.training.batches import EpochSampler, Sampling
from classifier.training.feature_batches import FeatureBatches, feature_batches

CROP = 6
IDENTITY = named_view("identity", 8, CROP)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path / "split")


@pytest.fixture
def model() -> Classifier:
    """A frozen network whose batch norm has something to fold."""
    model = tiny_model(input_size=CROP)
    with torch.no_grad():
        for module in model.backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    model.freeze("backbone")
    return model


def only_file() -> Path:
    (path,) = cache_folder("features").iterdir()
    return path


def test_features_are_those_that_the_backbone_computes(dataset: Dataset, model: Classifier):
    rows = np.arange(11)
    (computed,) = FeatureExtractor(model).features(dataset.images, rows, [IDENTITY])
    with torch.no_grad():
        expected = model.features(torch.from_numpy(IDENTITY(dataset.images[rows], rows)))
    assert computed.dtype == np.float32
    np.testing.assert_allclose(computed, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_features_of_a_image_do_not_depend_on_its_neighbours(dataset: Dataset, model: Classifier):
    extractor = FeatureExtractor(model)
    (together,) = extractor.features(dataset.images, np.arange(20), [IDENTITY])
    (alone,) = extractor.features(dataset.images, np.array([13]), [IDENTITY])
    assert np.array_equal(alone[0], together[13])


def test_a_second_run_reads_the_cache(
    dataset: Dataset, model: Classifier, monkeypatch: pytest.MonkeyPatch
):
    rows = np.arange(5)
    first = FeatureExtractor(model).features(dataset.images, rows, [IDENTITY])
    monkeypatch.delattr(FeatureExtractor, "_compute")
    second = FeatureExtractor(model).features(dataset.images, rows, [IDENTITY])
    assert np.array_equal(first, second)


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_cache_file_is_computed_again(dataset: Dataset, model: Classifier, damage: str):
    extractor, rows = FeatureExtractor(model), np.arange(5)
    first = extractor.features(dataset.images, rows, [IDENTITY])
    stored = bytearray(only_file().read_bytes())
    stored[-1] ^= 1
    damaged = {"cut": bytes(stored[:-7]), "flipped": bytes(stored), "foreign": b"something else"}
    only_file().write_bytes(damaged[damage])
    assert np.array_equal(extractor.features(dataset.images, rows, [IDENTITY]), first)
    assert only_file().read_bytes() not in damaged.values()


def test_the_cache_tells_apart_all_that_features_depend_on(dataset: Dataset, model: Classifier):
    def files() -> int:
        return len(list(cache_folder("features").iterdir()))

    images, rows = np.array(dataset.images), np.arange(5)
    augment = tiny_params().augment
    views = [
        random_view(augment, stored_size=8, input_size=CROP, seed=seed, number=number, size=60)
        for seed, number in ((0, 0), (0, 1), (1, 0))
    ]
    FeatureExtractor(model).features(images, rows, [IDENTITY, named_view("flip", 8, CROP), *views])
    assert files() == 5
    FeatureExtractor(model, torch.bfloat16).features(images, rows, [IDENTITY])
    assert files() == 6
    images[2, 3, 3, 0] += 1
    FeatureExtractor(model).features(images, rows, [IDENTITY])
    assert files() == 7
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1)
    FeatureExtractor(model).features(images, rows, [IDENTITY])
    assert files() == 8
    with torch.no_grad():
        model.mean.add_(0.1)
    FeatureExtractor(model).features(images, rows, [IDENTITY])
    assert files() == 9
    with pytest.MonkeyPatch.context() as patch:
        name = "classifier.models.extractor.device_name"
        patch.setattr(name, lambda device: "another processor")
        FeatureExtractor(model).features(images, rows, [IDENTITY])
    assert files() == 10


def test_another_split_of_the_images_finds_those_that_were_computed(
    dataset: Dataset, model: Classifier, monkeypatch: pytest.MonkeyPatch
):
    augmented = random_view(
        tiny_params().augment, stored_size=8, input_size=CROP, seed=0, number=0, size=60
    )
    first, second = np.arange(0, 40), np.array([59, 3, 41, 20, 7])
    expected = FeatureExtractor(model).features(dataset.images, second, [IDENTITY, augmented])
    for path in cache_folder("features").iterdir():
        path.unlink()
    FeatureExtractor(model).features(dataset.images, first, [IDENTITY, augmented])
    computed: list[int] = []
    compute = FeatureExtractor._compute
    monkeypatch.setattr(
        FeatureExtractor,
        "_compute",
        lambda self, images, rows, view: (
            computed.extend(rows.tolist()) or compute(self, images, rows, view)
        ),
    )
    found = FeatureExtractor(model).features(dataset.images, second, [IDENTITY, augmented])
    assert computed == [59, 41, 59, 41]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("file", "changes_identity", "changes_random"),
    [
        ("core/random.py", False, True),
        ("data/augment.py", False, True),
        ("data/random_view.py", False, True),
        ("models/weights/stored_backbone.py", True, True),
        ("processing/views.py", True, True),
        ("models/extractor.py", True, True),
        ("serving/app.py", False, False),
        ("training/loop.py", False, False),
    ],
)
def test_features_are_computed_again_when_the_code_that_they_depend_on_changes(
    dataset: Dataset,
    model: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    changes_identity: bool,
    changes_random: bool,
):
    library = copy_library(tmp_path / "copy")
    monkeypatch.setattr(code, "ROOT", library)
    augment = tiny_params().augment
    augmented = random_view(augment, stored_size=8, input_size=CROP, seed=0, number=0, size=60)

    def compute() -> int:
        FeatureExtractor(model).features(dataset.images, np.arange(5), [IDENTITY, augmented])
        return len(list(cache_folder("features").iterdir()))

    assert compute() == 2
    edit(library / "classifier" / file)
    assert compute() == 2 + changes_identity + changes_random


@pytest.mark.parametrize("library", ["torch", "torchvision", "numpy", "pillow"])
def test_features_are_computed_again_with_another_version_of_a_library(
    dataset: Dataset, model: Classifier, monkeypatch: pytest.MonkeyPatch, library: str
):
    FeatureExtractor(model).features(dataset.images, np.arange(5), [IDENTITY])
    installed = versions.version

    def version(name: str) -> str:
        return "0.1" if name == library else installed(name)

    monkeypatch.setattr(versions, "version", version)
    FeatureExtractor(model).features(dataset.images, np.arange(5), [IDENTITY])
    assert len(list(cache_folder("features").iterdir())) == 2


def make_batches(
    dataset: Dataset, model: Classifier, seed: int = 0, sampling: Sampling = "natural"
) -> FeatureBatches:
    return feature_batches(
        dataset,
        model,
        tiny_params().augment,
        views=2,
        input_size=CROP,
        dtype=torch.float32,
        sampler=EpochSampler(seed, 8, sampling),
    )


def inputs(batches: FeatureBatches, epoch: int, first: int = 0) -> list[torch.Tensor]:
    """What the network takes in the epoch's batches, each of which is one part."""
    return [batch.inputs for (batch,) in batches.training_batches(epoch, first)]


def test_an_epoch_shows_every_training_image_once_in_one_of_its_views(
    dataset: Dataset, model: Classifier
):
    train = dataset.rows("train")
    views = [
        IDENTITY,
        *(
            random_view(
                tiny_params().augment,
                stored_size=8,
                input_size=CROP,
                seed=0,
                number=number,
                size=60,
            )
            for number in range(2)
        ),
    ]
    stored = np.stack(FeatureExtractor(model).features(dataset.images, train, views))
    batches = make_batches(dataset, model)
    seen = torch.cat(inputs(batches, 1)).numpy()
    order = np.concatenate(batches.training_order(1))
    assert sorted(order) == list(range(len(train)))
    matches = (stored[:, order] == seen).all(axis=2)
    assert (matches.sum(axis=0) >= 1).all()
    assert matches.any(axis=1).all()


def test_epochs_draw_other_views_and_a_resumed_epoch_the_same(dataset: Dataset, model: Classifier):
    batches = make_batches(dataset, model)
    first, second = (inputs(batches, epoch) for epoch in (1, 2))
    resumed = inputs(make_batches(dataset, model), 1, first=2)
    assert all(torch.equal(a, b) for a, b in zip(first[2:], resumed, strict=True))
    assert not torch.equal(torch.cat(first).sort(dim=0)[0], torch.cat(second).sort(dim=0)[0])


def test_targets_are_those_of_the_images(dataset: Dataset, model: Classifier):
    labels = dataset.labels[dataset.rows("train")]
    batches = make_batches(dataset, model)
    found = [batch.targets.tolist() for (batch,) in batches.training_batches(2)]
    assert found == [labels[order].tolist() for order in batches.training_order(2)]


def test_balanced_sampling_draws_from_the_classes_of_the_training_images(
    dataset: Dataset, model: Classifier
):
    # Two training images are left of class 0.
    manifest = dataset.manifest.copy()
    spare = manifest.index[(manifest["split"] == "train") & (manifest["label"] == 0)][2:]
    manifest.loc[spare, "split"] = "test"
    batches = make_batches(replace(dataset, manifest=manifest), model, sampling="balanced")
    targets = torch.cat(
        [b.targets for epoch in range(1, 31) for (b,) in batches.training_batches(epoch)]
    )
    shares = np.bincount(targets) / len(targets)
    np.testing.assert_allclose(shares, 1 / 3, atol=5 * (2 / 9 / len(targets)) ** 0.5)


def test_validation_sees_the_centre_crops_in_order(dataset: Dataset, model: Classifier):
    val = dataset.rows("val")
    (expected,) = FeatureExtractor(model).features(dataset.images, val, [IDENTITY])
    (batch,) = make_batches(dataset, model).validation_batches()
    assert np.array_equal(batch.inputs.numpy(), expected)
    assert batch.targets.tolist() == dataset.labels[val].tolist()


def test_other_network_with_the_same_weights_has_features_of_its_own(
    model: Classifier, dataset: Dataset
) -> None:
    rows = np.arange(4)
    for name in ("one", "other"):
        model.architecture = name
        FeatureExtractor(model).features(dataset.images, rows, [IDENTITY])
    assert len(list(cache_folder("features").glob("*.npy"))) == 2
