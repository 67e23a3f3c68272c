"""A backbone that cannot work is refused before training."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.backbones import backbone_params, write_random_backbone
from builders.tiny import tiny_model, tiny_params, write_split
from torch import nn

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.models.network import Classifier
from classifier.models.weights.pretrained import write_backbone
from classifier.models.weights.stored_backbone import read_backbone
from classifier.training import setup
from classifier.training.curriculum import write_losses
from classifier.training.params import TrainParams
from classifier.training.setup import check_features, learner, prepare

CPU = torch.device("cpu")


class Dead(nn.Module):
    """A backbone that gives one value for all images, as MobileNetV2 does for tiny ones."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        nothing = 0 * images.mean(dim=(1, 2, 3))
        return (nothing + self.weight)[:, None].expand(-1, 128)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A data set, in a project with a backbone."""
    monkeypatch.chdir(tmp_path)
    write_backbone(backbone_params(), Path("data/backbone"))
    return write_split(tmp_path)


def use(monkeypatch: pytest.MonkeyPatch, model: Classifier) -> TrainParams:
    monkeypatch.setattr(setup, "build_classifier", lambda *_, **__: model)
    if not model.backbone_is_frozen:
        return tiny_params()
    write_random_backbone(Path())
    return tiny_params(model={"freeze": "backbone"})


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("value", [0.0, 3.7])
def test_same_features_for_all_images_are_reported(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, value: float, freeze: bool
) -> None:
    model = tiny_model()
    model.backbone = Dead(value)
    if freeze:
        model.freeze("backbone")
    params = use(monkeypatch, model)
    with pytest.raises(UserError, match=r"same features for all images of 8x8.*raise split\."):
        learner(prepare(params, dataset, CPU), params)


@pytest.mark.parametrize(
    ("changes", "value", "advice"),
    [
        ({}, 1.0, "raise split.stored_size, or choose another backbone."),
        (
            {"model": {"freeze": "backbone"}, "input_size": 8},
            1.0,
            "raise split.stored_size and train.input_size, set train.model.freeze: none, or choose "
            "another backbone.",
        ),
        ({"precision": "auto"}, math.nan, "set train.precision: fp32, or choose another backbone."),
    ],
)
def test_advice_on_features_names_only_what_the_params_do_not_have(
    dataset: Dataset, changes: dict[str, Any], value: float, advice: str
) -> None:
    params = tiny_params(**changes)
    spec = setup.describe_model(params, dataset, read_backbone(setup.BACKBONE)[0])
    with pytest.raises(UserError) as caught:
        check_features(torch.full((4, 2), value), spec, params, dataset)
    assert str(caught.value).partition(": ")[2].partition(": ")[2] == advice


def test_images_that_are_all_identical_are_named_as_the_cause(dataset: Dataset) -> None:
    same = replace(dataset, images=np.zeros_like(dataset.read(np.arange(len(dataset.images)))))
    with pytest.raises(UserError, match="training images are identical, from which nothing can be"):
        prepare(tiny_params(), same, CPU)


@pytest.mark.parametrize("freeze", [True, False])
def test_features_that_are_not_finite_are_reported(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, freeze: bool
) -> None:
    model = tiny_model()
    model.backbone = Dead(float("nan"))
    if freeze:
        model.freeze("backbone")
    params = use(monkeypatch, model)
    with pytest.raises(UserError, match="not finite for images of 8x8: choose another"):
        learner(prepare(params, dataset, CPU), params)


def test_looking_at_the_features_changes_neither_the_model_nor_the_draws(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tiny_params(model={"head": {"dropout": 0.5}})
    first = prepare(params, dataset, CPU)
    drawn = torch.rand(1)
    monkeypatch.setattr(setup, "check_features", lambda *_: None)
    monkeypatch.setattr(setup, "_features_in_training", lambda *_: None)
    second = prepare(params, dataset, CPU)
    assert torch.equal(drawn, torch.rand(1))
    for one, other in zip(
        first.model.state_dict().values(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("changes", [{}, {"mix": {"cutmix": 1.0}}, {"adversarial_strength": 4.0}])
def test_module_whose_name_freezes_the_whole_backbone_is_refused(
    dataset: Dataset, changes: dict[str, Any]
) -> None:
    write_random_backbone(Path())
    params = tiny_params(model={"freeze": "conv5"}, **changes)
    with pytest.raises(UserError, match=r"conv5 leaves no layer .*freeze: backbone"):
        prepare(params, dataset, CPU)


def test_single_images_of_later_epochs_are_refused_before_training(dataset: Dataset) -> None:
    write_losses(Path("data/losses.csv"), dataset.manifest, np.arange(60.0))
    curriculum = {"start": 0.45, "epochs": 3}
    params = tiny_params(batch_size=18, curriculum=curriculum, grad_accumulation_steps=8)
    assert params.epochs > 1
    with pytest.raises(UserError, match=r"A batch of 12 images in 8 micro-batches .*single images"):
        learner(prepare(params, dataset, CPU), params)
    alone = params.model_copy(update={"epochs": 1})
    _, batches = learner(prepare(alone, dataset, CPU), alone)
    assert [len(rows) for rows in batches.training_order(1)] == [18]
