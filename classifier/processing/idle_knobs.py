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


def unread_knobs(train: Mapping[str, Any]) -> list[str]:
    """Return names, without `train.`, of knobs that only another choice beside them would read.

    train: section `train`.
    """
    optimizer, scheduler = train["optimizer"]["name"], train["lr_scheduler"]["name"]
    in_steps = scheduler in ("step", "plateau")
    read = {
        "optimizer.momentum": optimizer in ("sgd", "muon"),
        "optimizer.aux_lr": optimizer == "muon",
        "optimizer.fixed_norm": optimizer == "muon",
        "lr_scheduler.step_epochs": in_steps,
        "lr_scheduler.gamma": in_steps,
        "augment.crop_ratio": train["augment"]["crop_scale"] is not None,
        "curriculum.epochs": train["curriculum"]["start"] is not None,
    }
    return [name for name, is_read in read.items() if not is_read]
