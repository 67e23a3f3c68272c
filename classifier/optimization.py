"""How weights move: the optimiser, and the learning rate as a function of the step."""

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from classifier.config import Params


class OptimizerParams(Params):
    """Section `train.optimizer`."""

    name: Literal["sgd", "adam", "adamw"]
    lr: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)


class ScheduleParams(Params):
    """Section `train.schedule`."""

    name: Literal["constant", "step", "cosine"]
    warmup_epochs: float = Field(ge=0)
    step_epochs: int = Field(ge=1)
    gamma: float = Field(gt=0, le=1)


class OptimizationParams(Params):
    """The part of section `train` that sets how long and how fast the weights move."""

    epochs: int = Field(ge=1)
    optimizer: OptimizerParams
    schedule: ScheduleParams

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"train.schedule.warmup_epochs is {self.schedule.warmup_epochs:g}; "
                f"it must be less than train.epochs, {self.epochs}."
            )
        return self


def build_optimizer(params: OptimizerParams, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all weights that are not frozen.

    Weight decay holds for weights of two dimensions and more, not for biases and batch norm.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in trained if w.ndim >= 2], "weight_decay": params.weight_decay},
        {"params": [w for w in trained if w.ndim < 2], "weight_decay": 0.0},
    ]
    if params.name == "sgd":
        return torch.optim.SGD(
            groups, params.lr, momentum=params.momentum, nesterov=params.momentum > 0
        )
    if params.name == "adam":
        return torch.optim.Adam(groups, params.lr)
    return torch.optim.AdamW(groups, params.lr)


def learning_rate(params: OptimizationParams, progress: float) -> float:
    """The learning rate after `progress` epochs (a fraction within an epoch).

    Rises linearly over the warm-up; then stays, falls by `gamma` every `step_epochs`, or follows
    half a cosine to zero (Loshchilov & Hutter, arXiv 1608.03983, without restarts).
    """
    schedule, peak = params.schedule, params.optimizer.lr
    if progress < schedule.warmup_epochs:
        return peak * progress / schedule.warmup_epochs
    if schedule.name == "step":
        return peak * schedule.gamma ** (int(progress) // schedule.step_epochs)
    if schedule.name == "cosine":
        span = params.epochs - schedule.warmup_epochs
        return peak * (1 + math.cos(math.pi * (progress - schedule.warmup_epochs) / span)) / 2
    return peak
