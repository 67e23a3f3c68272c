from typing import Any

import pytest
from builders.tiny import tiny_params

from classifier.processing.idle_knobs import DECIDING, idle_knobs, unread_knobs


@pytest.mark.parametrize(
    ("knob", "changes"),
    [
        ("optimizer.momentum", {"optimizer": {"name": "sgd"}}),
        ("optimizer.aux_lr", {"optimizer": {"name": "muon"}}),
        ("lr_scheduler.gamma", {"lr_scheduler": {"name": "step"}}),
        ("augment.crop_ratio", {"augment": {"crop_scale": [0.5, 1.0], "crop_padding": None}}),
        ("augment.padding", {"augment": {"rotation": 10.0}}),
        ("curriculum.epochs", {"curriculum": {"start": 0.5}}),
    ],
)
def test_knobs_of_other_choices_are_unread(knob: str, changes: dict[str, Any]) -> None:
    plain = {
        "optimizer": {"name": "adamw"},
        "lr_scheduler": {"name": "cosine"},
        "augment": {"crop_padding": None},
    }
    assert knob in unread_knobs(tiny_params(**plain).model_dump())
    assert knob not in unread_knobs(tiny_params(**plain | changes).model_dump())


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": {"name": "muon"}}, {"head": "logistic", "feature_views": ["flip"]}],
)
def test_knob_whose_value_is_why_another_is_idle_is_one_that_decides(
    changes: dict[str, Any],
) -> None:
    train = tiny_params(model={"freeze": "backbone"}, **changes).model_dump()
    assert {*idle_knobs(train).values(), *unread_knobs(train).values()} <= {*DECIDING}
