"""Knobs that contradict each other are refused in a sentence that names them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from builders.backbones import backbone_params, backbone_spec
from builders.tiny import tiny_params, write_split
from pydantic import ValidationError

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.models.weights.pretrained import write_backbone
from classifier.training.params import TrainParams
from classifier.training.setup import learner, prepare

FROZEN = {"freeze": "backbone"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"feature_views": 2}, r"train\.feature_views is 2, but train\.model\.freeze is none"),
        ({"linear_probe_epochs": 2, "model": FROZEN}, r"train\.model\.freeze other than backbone"),
        ({"adversarial_strength": 2.0, "model": FROZEN}, r"train\.adversarial_strength changes"),
        ({"mix": {"cutmix": 1.0}, "model": FROZEN}, r"train\.mix\.cutmix needs images"),
        (
            {"progressive_resizing": [{"until_epoch": 2, "side": 4}], "model": FROZEN},
            r"set train\.progressive_resizing: \[\]",
        ),
        (
            {
                "progressive_resizing": [
                    {"until_epoch": 2, "side": 4},
                    {"until_epoch": 1, "side": 6},
                ]
            },
            r"train\.progressive_resizing .* \[2, 1\]; they must ascend",
        ),
        ({"augment": {"alternate_flips": True, "flip": 0.3}}, r"set flip: 0\.5"),
    ],
)
def test_contradictions_are_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        tiny_params(**changes)


def test_views_may_be_of_the_head_that_is_trained_first() -> None:
    assert tiny_params(feature_views=2, linear_probe_epochs=1).feature_views == 2


def test_head_alone_needs_a_pretrained_backbone() -> None:
    params = tiny_params(linear_probe_epochs=2)
    params.check_backbone(backbone_spec("resnet18", pretrained=True))
    with pytest.raises(UserError, match=r"train\.linear_probe_epochs .* needs backbone\.weights"):
        params.check_backbone(backbone_spec("resnet18"))


def test_images_are_small_up_to_the_epochs_named_and_full_afterwards() -> None:
    sides = [{"until_epoch": 1, "side": 3}, {"until_epoch": 3, "side": 5}]
    params = tiny_params(progressive_resizing=sides)
    assert [params.side(epoch, input_size=8) for epoch in range(1, 6)] == [3, 5, 5, 8, 8]


def test_progressive_side_above_the_input_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_split(tmp_path)
    monkeypatch.chdir(tmp_path)
    write_backbone(backbone_params(), Path("data/backbone"))
    params = tiny_params(progressive_resizing=[{"until_epoch": 1, "side": 9}])
    with pytest.raises(UserError, match=r"train\.progressive_resizing has a side of 9.*input, 8"):
        _prepare(params, dataset)


def test_parts_of_single_images_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_split(tmp_path)
    monkeypatch.chdir(tmp_path)
    write_backbone(backbone_params(), Path("data/backbone"))
    # 36 images in two batches of 18, in parts of two and one.
    params = tiny_params(batch_size=35, grad_accumulation_steps=11)
    with pytest.raises(UserError, match=r"batch of 18 images in 11 micro-batches"):
        _prepare(params, dataset)


def _prepare(params: TrainParams, dataset: Dataset) -> None:
    learner(prepare(params, dataset, torch.device("cpu")), params)
