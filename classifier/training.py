"""The training loop: epochs, validation, early stopping, the best model, exact resume."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from tqdm import tqdm

from classifier.augment import AugmentParams
from classifier.batches import Batch
from classifier.devices import Precision, compute_dtype
from classifier.errors import UserError
from classifier.models import ModelParams
from classifier.optimization import OptimizationParams, build_optimizer, learning_rate
from classifier.resume import StateFolder

_WHAT_TO_TRY = (
    "lower train.optimizer.lr, lengthen train.schedule.warmup_epochs, or set train.precision: fp32."
)


class TrainParams(OptimizationParams):
    """Section `train`."""

    seed: int = Field(ge=0, lt=2**32)
    batch_size: int = Field(ge=3)
    crop: int | None = Field(ge=1)
    precision: Precision
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: Literal["none", "balanced"]
    monitor: Literal["val_loss", "val_accuracy"]
    patience: int | None = Field(ge=1)
    checkpoint_minutes: float = Field(gt=0)
    model: ModelParams
    feature_views: int = Field(ge=0)
    augment: AugmentParams

    @model_validator(mode="after")
    def _views_are_of_a_frozen_backbone(self) -> Self:
        if self.feature_views and self.model.freeze != "backbone":
            raise ValueError(
                f"train.feature_views is {self.feature_views}, but train.model.freeze is "
                f"{self.model.freeze}; set train.feature_views: 0, or freeze the backbone."
            )
        return self


class Batches(Protocol):
    """Where the loop gets its batches: pictures, or features of a frozen backbone."""

    def training_order(self, epoch: int) -> list[np.ndarray]: ...
    def training_batches(self, epoch: int, first: int = 0) -> Iterator[Batch]: ...
    def validation_batches(self) -> Iterator[Batch]: ...


@dataclass
class Progress:
    """Where a run stands; with the tensors of network and optimiser, all that a resume needs.

    epoch: the one under way, from 1. step: its batches that are done.
    totals: of these, summed loss, correct predictions, pictures: float64 `(3,)`.
    history: a row for each finished epoch.
    """

    epoch: int = 1
    step: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def finished(self, params: TrainParams) -> bool:
        patience = params.patience or params.epochs
        return self.epoch > params.epochs or self.epoch - 1 - self.best_epoch >= patience

    @property
    def best(self) -> dict[str, float]:
        """The history's row of the best epoch."""
        return self.history[self.best_epoch - 1]


@dataclass(frozen=True)
class Run:
    """What moves during training, as one state that can be saved and restored."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress
    states: StateFolder

    @classmethod
    def resume(cls, network: nn.Module, params: TrainParams, states: StateFolder) -> Self:
        """A run at its start, or where the last whole state left it."""
        optimizer = build_optimizer(params.optimizer, network)
        state = states.load()
        if state is None:
            return cls(network, optimizer, Progress(), states)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        progress = Progress(**state["progress"])
        print(f"Going on at epoch {progress.epoch}, step {progress.step}.")
        return cls(network, optimizer, progress, states)

    def save(self) -> None:
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": dict(vars(self.progress)),
        }
        self.states.save(self.progress.epoch, self.progress.step, state)


def fit(
    network: nn.Module,
    batches: Batches,
    params: TrainParams,
    *,
    class_weights: Tensor | None,
    device: torch.device,
    states: StateFolder,
    after_epoch: Callable[[list[dict[str, float]]], None],
) -> Progress:
    """Train `network` in place and leave the weights of its best epoch in it.

    class_weights: float `(classes,)` for the training loss, or None.
    after_epoch: called with the history after every epoch, and when a run is resumed.
    Raises UserError where the loss is no longer finite, and when it is asked to stop.
    """
    run = Run.resume(network, params, states)
    criterion = nn.CrossEntropyLoss(class_weights, label_smoothing=params.label_smoothing)
    if run.progress.history:
        after_epoch(run.progress.history)
    with _stop_signals() as stop:
        while not run.progress.finished(params):
            train_one_epoch(run, batches, criterion, params, device, stop)
            _finish_epoch(run, validate(network, batches, params, device), params)
            run.save()
            after_epoch(run.progress.history)
    network.load_state_dict(run.progress.best_weights)
    return run.progress


def train_one_epoch(
    run: Run,
    batches: Batches,
    criterion: nn.Module,
    params: TrainParams,
    device: torch.device,
    stop: list[int],
) -> None:
    """Take the steps of the epoch under way that are not done yet."""
    progress = run.progress
    progress.totals = progress.totals.to(device)
    steps = len(batches.training_order(progress.epoch))
    run.network.train()
    saved = time.monotonic()
    # On a GPU, looking at every loss would make the processor wait for every step.
    unchecked: list[Tensor] = []
    check_every = 25 if device.type == "cuda" else 1
    label = f"epoch {progress.epoch}/{params.epochs}"
    with tqdm(total=steps, initial=progress.step, desc=label, leave=False, disable=None) as bar:
        for batch in batches.training_batches(progress.epoch, progress.step):
            rate = learning_rate(params, progress.epoch - 1 + (progress.step + 0.5) / steps)
            loss, correct = train_step(run, batch, criterion, params, device, rate)
            progress.step += 1
            size = correct.new_tensor(len(batch.targets))
            progress.totals += torch.stack([loss.double() * size, correct, size])
            unchecked.append(loss)
            if len(unchecked) == check_every or progress.step == steps:
                _check_finite(unchecked, progress)
                unchecked.clear()
            bar.update()
            if stop:
                run.save()
                raise UserError(
                    f"Stopped in epoch {progress.epoch} after step {progress.step}; "
                    "the state is kept: run the same command again to go on."
                )
            if time.monotonic() - saved > 60 * params.checkpoint_minutes:
                run.save()
                saved = time.monotonic()


def train_step(
    run: Run,
    batch: Batch,
    criterion: nn.Module,
    params: TrainParams,
    device: torch.device,
    rate: float,
) -> tuple[Tensor, Tensor]:
    """One step of the optimiser; the mean loss and the number of correct predictions before it."""
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    # Dropout is a function of (seed, epoch, step), so that a resumed run needs no generator.
    torch.manual_seed(_seed(params.seed, run.progress.epoch, run.progress.step))
    with _autocast(params, device):
        logits = run.network(batch.inputs)
        loss = criterion(logits.float(), batch.targets)
    run.optimizer.zero_grad()
    loss.backward()
    run.optimizer.step()
    return loss.detach(), (logits.argmax(dim=1) == batch.targets).sum()


@torch.no_grad()
def validate(
    network: nn.Module, batches: Batches, params: TrainParams, device: torch.device
) -> tuple[float, float]:
    """Mean cross-entropy, without weights and smoothing, and accuracy on the validation split."""
    network.eval()
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    for inputs, targets in batches.validation_batches():
        with _autocast(params, device):
            logits = network(inputs).float()
        loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
        correct = (logits.argmax(dim=1) == targets).sum()
        totals += torch.stack([loss.double(), correct, correct.new_tensor(len(targets))])
    loss_sum, correct_sum, size = totals.tolist()
    return loss_sum / size, correct_sum / size


def _finish_epoch(run: Run, validation: tuple[float, float], params: TrainParams) -> None:
    """Add the epoch to the history, and keep its weights if it is the best so far."""
    progress = run.progress
    loss_sum, correct, size = progress.totals.tolist()
    row = {
        "epoch": progress.epoch,
        "lr": round(learning_rate(params, progress.epoch - 0.5), 8),
        "train_loss": loss_sum / size,
        "train_accuracy": correct / size,
        "val_loss": validation[0],
        "val_accuracy": validation[1],
    }
    if not math.isfinite(row["val_loss"]):
        raise UserError(
            f"The validation loss became {row['val_loss']} after epoch {progress.epoch}: "
            f"{_WHAT_TO_TRY}"
        )
    sign = -1 if params.monitor == "val_accuracy" else 1
    if not progress.history or sign * row[params.monitor] < sign * progress.best[params.monitor]:
        progress.best_epoch = progress.epoch
        weights = run.network.state_dict().items()
        progress.best_weights = {name: tensor.cpu().clone() for name, tensor in weights}
    progress.history.append(row)
    progress.epoch += 1
    progress.step = 0
    progress.totals = torch.zeros_like(progress.totals)


def _check_finite(losses: list[Tensor], progress: Progress) -> None:
    """Raise UserError with the place of the first of the latest losses that is not finite."""
    for back, loss in enumerate(torch.stack(losses).tolist()):
        if not math.isfinite(loss):
            step = progress.step - len(losses) + back + 1
            raise UserError(
                f"The loss became {loss} in epoch {progress.epoch}, step {step}: {_WHAT_TO_TRY}"
            )


def _autocast(params: TrainParams, device: torch.device) -> torch.autocast:
    dtype = compute_dtype(params.precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them, so that a step can be finished."""
    received: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda got, _: received.append(got)) for number in signals]
    try:
        yield received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
