"""The training loop: epochs, validation, early stopping, the best model, exact resume."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from classifier.core.errors import StoppedError, UserError
from classifier.models.network import restore_weights
from classifier.training.batches import Batch
from classifier.training.checkpoint import StateFolder
from classifier.training.distributed import Processes, replicated
from classifier.training.optimization import build_optimizers, learning_rate
from classifier.training.params import TrainParams
from classifier.training.state import Progress, Run
from classifier.training.step import Loss, autocast, train_step

_WHAT_TO_TRY = (
    "lower train.optimizer.lr, lengthen train.lr_scheduler.warmup_epochs, or set "
    "train.precision: fp32."
)


class Batches(Protocol):
    """Where the loop gets its batches: images, or features of a frozen backbone.

    Of a training batch come the parts that this process computes.
    """

    def training_order(self, epoch: int) -> list[np.ndarray]: ...
    def training_batches(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]: ...
    def validation_batches(self) -> Iterator[Batch]: ...


def fit(  # noqa: PLR0913
    network: nn.Module,
    batches: Batches,
    params: TrainParams,
    *,
    loss: Loss,
    device: torch.device,
    states: StateFolder,
    checkpoint_minutes: float,
    after_epoch: Callable[[Run], None] | None = None,
    processes: Processes | None = None,
) -> Run:
    """Train `network` in place and leave the weights of its best epoch in it.

    checkpoint_minutes: between two states within an epoch; one is saved after each, too.
    after_epoch: called in the first process after every epoch, and when a run is resumed.
    Raises UserError where the loss is no longer finite, where a GPU's memory is too small, and
    when it is asked to stop.
    """
    processes = processes or Processes()
    if after_epoch is None or not processes.first:
        after_epoch = _say_nothing
    average = network.state_dict() if params.ema_decay else {}
    run = Run(
        network,
        replicated(network, processes, device),
        build_optimizers(params.optimizer, network),
        {name: tensor.clone() for name, tensor in average.items()},
        states,
        processes,
        params.grad_accumulation_steps,
    )
    run.restore()
    progress = run.progress
    if progress.history:
        after_epoch(run)
    with _stop_signals() as stop:
        while not progress.finished(params.epochs, params.patience):
            started = time.perf_counter()
            train_one_epoch(run, batches, loss, params, device, stop, checkpoint_minutes)
            _finish_epoch(run, validate(run, batches, params, device), params)
            run.clock.last_epoch = time.perf_counter() - started
            run.save()
            after_epoch(run)
    restore_weights(network, progress.best_weights)
    return run


def train_one_epoch(
    run: Run,
    batches: Batches,
    loss: Loss,
    params: TrainParams,
    device: torch.device,
    stop: list[int],
    checkpoint_minutes: float,
) -> None:
    """Take the steps of the epoch under way that are not done yet."""
    progress, started = run.progress, time.perf_counter()
    progress.totals = progress.totals.to(device)
    steps = len(batches.training_order(progress.epoch))
    run.network.train()
    saved = time.monotonic()
    # On a GPU, looking at every loss would make the processor wait for every step.
    unchecked: list[Tensor] = []
    check_every = 25 if device.type == "cuda" else 1
    stream = batches.training_batches(progress.epoch, progress.step)
    with _progress_bar(run, params, steps) as bar:
        while progress.step < steps:
            with run.clock.waits():
                parts = next(stream)
            unchecked.append(train_step(run, parts, loss, params, device, steps))
            bar.update()
            if len(unchecked) < check_every and progress.step < steps:
                continue
            _check_finite(unchecked, progress)
            unchecked.clear()
            if run.processes.any(bool(stop), device):
                run.save()
                raise StoppedError(
                    f"Stopped in epoch {progress.epoch} after step {progress.step}; "
                    "the state is kept: run the same command again to go on."
                )
            due = time.monotonic() - saved > 60 * checkpoint_minutes
            if run.processes.any(due, device):
                run.save()
                saved = time.monotonic()
    run.clock.training += time.perf_counter() - started
    run.clock.epochs += 1


@torch.no_grad()
def validate(
    run: Run, batches: Batches, params: TrainParams, device: torch.device
) -> tuple[float, float]:
    """Mean cross-entropy, without weights and smoothing, and accuracy on the validation split."""
    network = run.network.eval()
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    for inputs, targets in batches.validation_batches():
        with autocast(params, device):
            logits = functional_call(network, run.average, (inputs,)).float()
        correct = (logits.argmax(dim=1) == targets).sum()
        losses = cross_entropy(logits, targets, reduction="sum").double()
        totals += torch.stack([losses, correct, correct.new_tensor(len(targets))])
    loss_sum, correct_sum, size = run.processes.sum(totals).tolist()
    return loss_sum / size, correct_sum / size


def _finish_epoch(run: Run, validation: tuple[float, float], params: TrainParams) -> None:
    """Add the epoch to the history, and keep its weights if it is the best so far."""
    progress = run.progress
    loss_sum, correct, size = run.processes.sum(progress.totals).tolist()
    rate = learning_rate(params, progress.epoch - 0.5, progress.val_losses)
    row = {
        "epoch": progress.epoch,
        "lr": round(rate, 8),
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
        weights = run.weights.items()
        progress.best_weights = {name: tensor.cpu().clone() for name, tensor in weights}
    progress.history.append(row)
    progress.epoch += 1
    progress.step = 0
    progress.totals = torch.zeros_like(progress.totals)


def _say_nothing(run: Run) -> None: ...


def _check_finite(losses: list[Tensor], progress: Progress) -> None:
    """Raise UserError with the place of the first of the latest losses that is not finite."""
    for back, loss in enumerate(torch.stack(losses).tolist()):
        if not math.isfinite(loss):
            step = progress.step - len(losses) + back + 1
            raise UserError(
                f"The loss became {loss} in epoch {progress.epoch}, step {step}: {_WHAT_TO_TRY}"
            )


def _progress_bar(run: Run, params: TrainParams, steps: int) -> tqdm:
    return tqdm(
        total=steps,
        initial=run.progress.step,
        desc=f"epoch {run.progress.epoch}/{params.epochs}",
        leave=False,
        disable=None if run.processes.first else True,
    )


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
