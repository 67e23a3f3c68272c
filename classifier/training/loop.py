"""The training loop: epochs, validation, early stopping, the best model, exact resume."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from classifier.core.errors import StoppedError, UserError
from classifier.models.devices import Precision
from classifier.models.weights.stored_backbone import restore_weights
from classifier.training.batches import Batch
from classifier.training.optimization import learning_rates, rate_factor
from classifier.training.state import Progress, TrainState
from classifier.training.step import Loss, StepParams, autocast, train_step

_WHAT_TO_TRY = (
    "lower train.optimizer.lr, lengthen train.lr_scheduler.warmup_epochs, or set "
    "train.precision: fp32."
)


class Batches(Protocol):
    """Batches of images, or of features of a frozen backbone, for the training loop.

    A training batch comes as the micro-batches of this rank.
    """

    def training_order(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each batch of an epoch."""
        ...

    def training_batches(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """Yield the batches of an epoch, from batch number `first` on."""
        ...

    def validation_batches(self) -> Iterator[Batch]:
        """Yield the validation split, in order."""
        ...


class LoopParams(StepParams):
    """The part of section `train` that the training loop depends on."""

    monitor: Literal["val_loss", "val_accuracy"]
    patience: int | None = Field(ge=1)


def fit(
    state: TrainState,
    batches: Batches,
    loss: Loss,
    params: LoopParams,
    *,
    device: torch.device,
    checkpoint_minutes: float,
    after_epoch: Callable[[TrainState], None] | None = None,
) -> None:
    """Train the network of `state`, and leave the weights of its best epoch in it.

    Args:
        state: Where the run begins or continues; it is updated.
        batches: Batches of training and validation images, or of their features.
        loss: The training loss. Validation uses cross-entropy alone.
        params: What the loop depends on.
        device: Where the network is.
        checkpoint_minutes: Time between two checkpoints within an epoch; each epoch writes one.
        after_epoch: Called in the main process after every epoch, and when a run is resumed.

    Raises:
        UserError: The loss is not finite, a GPU's memory is too small, or the run is stopped.
    """
    progress = state.progress
    report = after_epoch if after_epoch and state.group.is_main_process else _say_nothing
    if progress.history:
        report(state)
    with _stop_signals() as stop:
        while not progress.finished(params.epochs, params.patience):
            started = time.perf_counter()
            _train_one_epoch(state, batches, loss, params, device, stop, checkpoint_minutes)
            validation = _validate(state, batches, params.precision, device)
            _finish_epoch(state, validation, params)
            state.clock.last_epoch = time.perf_counter() - started
            state.save()
            report(state)
    restore_weights(state.network, progress.best_weights)


def _train_one_epoch(
    state: TrainState,
    batches: Batches,
    loss: Loss,
    params: LoopParams,
    device: torch.device,
    stop: list[int],
    checkpoint_minutes: float,
) -> None:
    """Take the remaining steps of the current epoch."""
    progress, started = state.progress, time.perf_counter()
    progress.totals = progress.totals.to(device)
    steps = len(batches.training_order(progress.epoch))
    state.network.train()
    saved = time.monotonic()
    # On a GPU, looking at every loss would make the processor wait for every step.
    unchecked: list[Tensor] = []
    check_every = 25 if device.type == "cuda" else 1
    stream = batches.training_batches(progress.epoch, progress.step)
    with _progress_bar(state, params.epochs, steps) as bar:
        while progress.step < steps:
            with state.clock.waits():
                micro_batches = next(stream)
            done = progress.epoch - 1 + (progress.step + 0.5) / steps
            factor = rate_factor(params, done, progress.val_losses)
            unchecked.append(train_step(state, micro_batches, loss, params, device, factor))
            bar.update()
            if len(unchecked) < check_every and progress.step < steps:
                continue
            _check_finite(unchecked, progress)
            unchecked.clear()
            if state.group.any(bool(stop), device):
                state.save()
                raise StoppedError(
                    f"Stopped in epoch {progress.epoch} after step {progress.step}; "
                    "the state is kept: run the same command again to go on."
                )
            due = time.monotonic() - saved > 60 * checkpoint_minutes
            if state.group.any(due, device):
                state.save()
                saved = time.monotonic()
    state.clock.training += time.perf_counter() - started
    state.clock.epochs += 1


@torch.no_grad()
def _validate(
    state: TrainState, batches: Batches, precision: Precision, device: torch.device
) -> tuple[float, float]:
    """Return cross-entropy, without weights and smoothing, and accuracy on the validation split."""
    network = state.network.eval()
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    for inputs, targets in batches.validation_batches():
        with autocast(precision, device):
            logits = functional_call(network, state.ema, (inputs,)).float()
        correct = (logits.argmax(dim=1) == targets).sum()
        losses = cross_entropy(logits, targets, reduction="sum").double()
        totals += torch.stack([losses, correct, correct.new_tensor(len(targets))])
    loss_sum, correct_sum, size = state.group.sum(totals).tolist()
    return loss_sum / size, correct_sum / size


def _finish_epoch(state: TrainState, validation: tuple[float, float], params: LoopParams) -> None:
    """Add the epoch to the history, and keep its weights if it is the best so far."""
    progress = state.progress
    loss_sum, correct, size = state.group.sum(progress.totals).tolist()
    factor = rate_factor(params, progress.epoch - 0.5, progress.val_losses)
    row = {
        "epoch": progress.epoch,
        **learning_rates(state.optimizers, factor),
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
        weights = state.weights.items()
        progress.best_weights = {name: tensor.cpu().clone() for name, tensor in weights}
    progress.history.append(row)
    progress.epoch += 1
    progress.step = 0
    progress.totals = torch.zeros_like(progress.totals)


def _say_nothing(state: TrainState) -> None: ...


def _check_finite(losses: list[Tensor], progress: Progress) -> None:
    """Raise UserError with epoch and step of the first of these losses that is not finite."""
    for back, loss in enumerate(torch.stack(losses).tolist()):
        if not math.isfinite(loss):
            step = progress.step - len(losses) + back + 1
            raise UserError(
                f"The loss became {loss} in epoch {progress.epoch}, step {step}: {_WHAT_TO_TRY}"
            )


def _progress_bar(state: TrainState, epochs: int, steps: int) -> tqdm:
    return tqdm(
        total=steps,
        initial=state.progress.step,
        desc=f"epoch {state.progress.epoch}/{epochs}",
        leave=False,
        disable=None if state.group.is_main_process else True,
    )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that the current step can be finished."""
    received: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda got, _: received.append(got)) for number in signals]
    try:
        yield received
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
