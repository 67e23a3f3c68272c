"""Say which knobs of section `train` change nothing beside the values of the others."""

from collections.abc import Mapping
from typing import Any

# The knobs that the functions below look at.
DECIDING = (
    "head",
    "model.freeze",
    "feature_views",
    "optimizer.name",
    "lr_scheduler.name",
    "augment.crop_scale",
    "augment.rotation",
    "augment.crop_padding",
    "curriculum.start",
)
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
# What a head that is trained alone does not look at: it is the last layer, and takes whole batches.
_OF_OTHER_LAYERS = ("grad_accumulation_steps", "optimizer.layer_decay")
# What muon looks at for layers before the last one.
_OF_MUON = ("optimizer.lr", "optimizer.momentum", "optimizer.fixed_norm")


def idle_knobs(train: Mapping[str, Any]) -> dict[str, str]:
    """Return knobs and groups that change nothing, and the knob whose value is why.

    Names are without `train.`, such as `{"epochs": "head"}`.

    train: section `train`.
    """
    idle: dict[str, str] = {}
    is_frozen, is_solved = train["model"]["freeze"] == "backbone", train["head"] == "logistic"
    if is_solved:
        idle |= dict.fromkeys(_OF_TRAINING_IN_STEPS, "head")
    elif is_frozen:
        idle |= dict.fromkeys(_OF_OTHER_LAYERS, "model.freeze")
        if train["optimizer"]["name"] == "muon":
            idle |= dict.fromkeys(_OF_MUON, "model.freeze")
    views = train["feature_views"]
    if is_frozen and (isinstance(views, list) or views == 0):
        idle["augment"] = "feature_views"
        if is_solved:
            idle["seed"] = "head"
    return idle


def unread_knobs(train: Mapping[str, Any]) -> dict[str, str]:
    """Return knobs that only another choice beside them would read, and that other knob.

    Names are without `train.`, such as `{"optimizer.momentum": "optimizer.name"}`.

    train: section `train`.
    """
    optimizer, scheduler = train["optimizer"]["name"], train["lr_scheduler"]["name"]
    augment = train["augment"]
    in_steps = scheduler in ("step", "plateau")
    leaves_image = augment["crop_scale"] or augment["rotation"] or augment["crop_padding"]
    read = {
        "optimizer.momentum": ("optimizer.name", optimizer in ("sgd", "muon")),
        "optimizer.aux_lr": ("optimizer.name", optimizer == "muon"),
        "optimizer.fixed_norm": ("optimizer.name", optimizer == "muon"),
        "lr_scheduler.step_epochs": ("lr_scheduler.name", in_steps),
        "lr_scheduler.gamma": ("lr_scheduler.name", in_steps),
        "augment.crop_ratio": ("augment.crop_scale", augment["crop_scale"] is not None),
        "augment.padding": ("augment.crop_padding", bool(leaves_image)),
        "curriculum.epochs": ("curriculum.start", train["curriculum"]["start"] is not None),
    }
    return {name: by for name, (by, is_read) in read.items() if not is_read}
