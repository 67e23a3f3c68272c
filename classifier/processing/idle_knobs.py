"""Say which knobs of section `train` change nothing beside the values of the others."""

from collections.abc import Mapping
from typing import Any

# What a solver without steps does not look at.
_OF_TRAINING_IN_STEPS = (
    "epochs",
    "batch_size",
    "grad_accumulation_steps",
    "patience",
    "optimizer",
    "lr_scheduler",
    "ema_decay",
    "model.head.dropout",
)


def idle_knobs(train: Mapping[str, Any]) -> list[str]:
    """Return names, without `train.`, of knobs and groups that change nothing.

    train: section `train`.
    """
    idle = [*_OF_TRAINING_IN_STEPS] if train["head"] == "logistic" else []
    views = train["feature_views"]
    if train["model"]["freeze"] == "backbone" and (isinstance(views, list) or views == 0):
        idle.append("augment")
    return idle
