from typing import Any

import pytest
from builders.tiny import tiny_params

from classifier.processing.idle_knobs import unread_knobs


@pytest.mark.parametrize(
    ("knob", "changes"),
    [
        ("optimizer.momentum", {"optimizer": {"name": "sgd"}}),
        ("optimizer.aux_lr", {"optimizer": {"name": "muon"}}),
        ("lr_scheduler.gamma", {"lr_scheduler": {"name": "step"}}),
        ("augment.crop_ratio", {"augment": {"crop_scale": [0.5, 1.0], "crop_padding": None}}),
        ("curriculum.epochs", {"curriculum": {"start": 0.5}}),
    ],
)
def test_knobs_of_other_choices_are_unread(knob: str, changes: dict[str, Any]) -> None:
    plain = {"optimizer": {"name": "adamw"}, "lr_scheduler": {"name": "cosine"}}
    assert knob in unread_knobs(tiny_params(**plain).model_dump())
    assert knob not in unread_knobs(tiny_params(**plain | changes).model_dump())
