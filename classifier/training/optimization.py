"""Build the optimisers with their parameter groups, and compute the learning rate of a step."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from classifier.core.config import Params
from classifier.training.muon import Muon

# Of rates and decay. Ten times a rate, as in the first step of Adam, must still be a float32.
_MOST = 1e37


class OptimizerParams(Params):
    """Section `train.optimizer`."""

    name: Literal["sgd", "adam", "adamw", "muon"]
    lr: float = Field(gt=0, le=_MOST)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=_MOST)
    fixed_norm: bool
    layer_decay: float = Field(gt=0, le=1)
    aux_lr: float = Field(gt=0, le=_MOST)
    max_grad_norm: float | None = Field(gt=0)


class LRSchedulerParams(Params):
    """Section `train.lr_scheduler`."""

    name: Literal["constant", "step", "linear", "cosine", "plateau"]
    warmup_epochs: float = Field(ge=0)
    step_epochs: int = Field(ge=1)
    gamma: float = Field(gt=0, le=1)


class OptimizationParams(Params):
    """The part of section `train` that sets how long and how fast the weights move."""

    epochs: int = Field(ge=1)
    optimizer: OptimizerParams
    lr_scheduler: LRSchedulerParams

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.lr_scheduler.warmup_epochs >= self.epochs:
            raise ValueError(
                f"train.lr_scheduler.warmup_epochs is {self.lr_scheduler.warmup_epochs:g}; "
                f"it must be less than train.epochs, {self.epochs}."
            )
        return self


def build_optimizers(params: OptimizerParams, model: nn.Module) -> list[torch.optim.Optimizer]:
    """Return the optimisers of all weights that are not frozen.

    Each parameter group has a `name` and an `initial_lr`, its highest rate. Weight decay applies to
    matrices and convolutions, not to biases and norms. The initial rate falls by `layer_decay` from
    every layer to the one before it, as in BEiT (Bao et al., arXiv 2106.08254), so that the first
    layers change least. With `muon`, Muon takes the matrices and convolutions but those of the last
    layer, and AdamW takes the others at `aux_lr` (Jordan et al., "Muon", 2024).
    """
    groups = _groups(params, model)
    if params.name == "muon":
        hidden = [group for group in groups if group["matrices"] and not group["last"]]
        others = [group for group in groups if not group["matrices"] or group["last"]]
        for group in others:
            group["initial_lr"] *= params.aux_lr / params.lr
            group["name"] = "aux" if params.layer_decay == 1 else f"{group['name']}.aux"
        adam = without_compiler(torch.optim.AdamW)(others, params.aux_lr)
        if not hidden:
            return [adam]
        options = {"momentum": params.momentum, "fixed_norm": params.fixed_norm}
        return [without_compiler(Muon)(hidden, **options), adam]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    momentum = {"momentum": params.momentum, "nesterov": params.momentum > 0}
    options = momentum if params.name == "sgd" else {}
    return [without_compiler(kind[params.name])(groups, lr=params.lr, **options)]


def _groups(params: OptimizerParams, model: nn.Module) -> list[dict]:
    """Return groups of weights that share a learning rate and a weight decay."""
    groups = []
    layers = list(reversed(trained_layers(model)))
    for distance, (name, weights) in enumerate(layers):
        for matrices in (True, False):
            chosen = [weight for weight in weights if _is_matrix(weight) is matrices]
            if chosen:
                group = {
                    "params": chosen,
                    "name": name,
                    "weight_decay": params.weight_decay if matrices else 0.0,
                    "initial_lr": params.lr * params.layer_decay**distance,
                    "matrices": matrices,
                    "last": distance == 0,
                }
                groups.append(group)
    return groups


def trained_layers(model: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """Return names and weights of the layers that are not frozen, in the order of the forward pass.

    A layer is a module below the backbone, or a block of a sequence in there, such as
    `backbone.layer1.0` or `backbone.encoder.layers.encoder_layer_0`; of a model of timm, a group of
    its `group_matcher`. A norm belongs to the layer before it, and the head is one layer. Weights
    of the backbone itself come first.
    """
    grouped = _groups_of_timm(model)
    found: dict[str, list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            found.setdefault(grouped.get(name) or _layer_of(model, name), []).append(weight)
    # A head that is trained alone is one layer without a name.
    modules = (name for name, _ in model.named_modules())
    order = [*grouped.values()] or ["backbone", *modules]
    order.append("head")
    layers: list[tuple[str, list[nn.Parameter]]] = []
    for name, weights in sorted(found.items(), key=lambda item: order.index(item[0])):
        if layers and name != "head" and all(weight.ndim < 2 for weight in weights):
            layers[-1][1].extend(weights)
        else:
            layers.append((name, weights))
    return layers


def _groups_of_timm(model: nn.Module) -> dict[str, str]:
    """Return the layer of each weight of a backbone of timm; nothing for other backbones."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module) or not hasattr(backbone, "group_matcher"):
        return {}
    from classifier.models.backbones.timm_backbones import layers_of_timm  # noqa: PLC0415 (slow to import)

    layers = layers_of_timm(backbone)
    return {f"backbone.{weight}": f"backbone.{layer}" for weight, layer in layers.items()}


def _layer_of(model: nn.Module, weight: str) -> str:
    """Return the name of the layer that holds the weight of this name."""
    if not weight.startswith("backbone."):
        return "head"
    parts = weight.split(".")[:-1]
    depth = min(2, len(parts))
    while depth < len(parts) and _holds_layers(model.get_submodule(".".join(parts[:depth])), depth):
        depth += 1
    return ".".join(parts[:depth])


def _holds_layers(module: nn.Module, depth: int) -> bool:
    """Return whether it is a sequence of layers, or has one inside right below the backbone."""
    if type(module) in (nn.Sequential, nn.ModuleList):
        return True
    return depth == 2 and any(type(part) is nn.Sequential for part in module.children())


def _is_matrix(weight: nn.Parameter) -> bool:
    """Return whether it maps several values to several others, unlike biases, norms and tokens."""
    return weight.ndim >= 2 and 1 < weight.shape[0] < weight.numel()


def without_compiler(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return `kind` without the wrappers that hide its methods from PyTorch's compiler.

    They import the compiler to do so, which takes 2 to 4 seconds: longer than training a head.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**methods, "step": step})


def learning_rates(optimizers: Sequence[torch.optim.Optimizer], factor: float) -> dict[str, float]:
    """Return the learning rates at this factor, as columns of the history.

    `lr` alone where all parameter groups have one rate. Where they differ (by `layer_decay` or
    `aux_lr`), `lr` is the highest rate of the first optimiser, and `lr_<group>` that of each group.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    highest = max(group["initial_lr"] for group in optimizers[0].param_groups)
    rates = {"lr": round(highest * factor, 8)}
    if any(group["initial_lr"] != highest for group in groups):
        rates |= {f"lr_{group['name']}": round(group["initial_lr"] * factor, 8) for group in groups}
    return rates


def rate_factor(
    params: OptimizationParams, progress: float, val_losses: Sequence[float] = ()
) -> float:
    """Return the factor (0..1) of the initial learning rate after `progress` epochs.

    It rises linearly during the warm-up. Then it stays, falls by `gamma` every `step_epochs`, falls
    linearly to zero, follows half a cosine to zero (Loshchilov & Hutter, arXiv 1608.03983, without
    restarts), or falls by `gamma` whenever the validation loss has not fallen for `step_epochs`.
    A third of the epochs as warm-up and `cosine` are the rates of one-cycle (Smith & Topin, arXiv
    1708.07120).

    Args:
        params: Number of epochs and schedule.
        progress: Epochs that are done, with fractions.
        val_losses: Validation losses of the finished epochs, for `plateau`.
    """
    lr_scheduler = params.lr_scheduler
    if progress < lr_scheduler.warmup_epochs:
        return progress / lr_scheduler.warmup_epochs
    done = (progress - lr_scheduler.warmup_epochs) / (params.epochs - lr_scheduler.warmup_epochs)
    if lr_scheduler.name == "step":
        return lr_scheduler.gamma ** (int(progress) // lr_scheduler.step_epochs)
    if lr_scheduler.name == "linear":
        return 1 - done
    if lr_scheduler.name == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    if lr_scheduler.name == "plateau":
        return lr_scheduler.gamma ** _plateaus(val_losses, lr_scheduler.step_epochs)
    return 1.0


def _plateaus(losses: Sequence[float], patience: int) -> int:
    """Count how often `patience` losses in a row brought no new lowest one."""
    found, waited, best = 0, 0, math.inf
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == patience:
            found, waited = found + 1, 0
    return found
