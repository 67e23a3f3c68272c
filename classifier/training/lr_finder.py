"""Find a learning rate for section `train` of params.yaml, in about a hundred steps.

The range test of Smith ("Cyclical learning rates", arXiv 1506.01186), with a rate that grows by the
same factor in every step: below some rate the loss hardly falls, above another it grows. All other
params are as in training, but the schedule, the EMA and `train.linear_probe_epochs`; the network is
thrown away.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.models.devices import OnMissing, choose_device, prepare_pytorch
from classifier.training.batches import Batch
from classifier.training.checkpoint import CheckpointFolder
from classifier.training.distributed import ProcessGroup
from classifier.training.loop import Batches
from classifier.training.optimization import build_optimizers
from classifier.training.params import TrainParams
from classifier.training.setup import learner, prepare
from classifier.training.state import TrainState
from classifier.training.step import Loss, StepParams, train_step

DATA = Path("data/split")
LOWEST_RATE, HIGHEST_RATE, STEPS = 1e-6, 10.0, 100
# The test ends where the loss is this many times its lowest value.
_TOO_HIGH = 4.0
# Standard deviation, in steps, of the Gaussian kernel that smooths the losses.
_KERNEL_STEPS = 3.0


class Suggestion(NamedTuple):
    """Rates of the range test: where the loss fell fastest, and where it was lowest."""

    steepest: float
    lowest: float


def find_learning_rate(params: TrainParams, on_missing: OnMissing = "error") -> pd.DataFrame:
    """Run the range test on data/split; return a row per step: step, lr, loss, smoothed_loss.

    Args:
        params: Section `train`.
        on_missing: `runtime.deterministic`, as `prepare_pytorch` takes it.

    Raises:
        UserError: `train.head` has no learning rate.
    """
    if params.head == "logistic":
        raise UserError("train.head: logistic has no learning rate: set train.head: linear.")
    prepare_pytorch(on_missing)
    setup = prepare(params, load_dataset(DATA), choose_device())
    network, batches = learner(setup, params)
    return tabulate(range_test(network, batches, setup.loss, params, setup.device))


def range_test(
    network: nn.Module, batches: Batches, loss: Loss, params: StepParams, device: torch.device
) -> list[float]:
    """Train `network` in place at the growing `rates`; return the loss before each step.

    It ends early where the smoothed loss has become too high, or where a loss is not finite, which
    is left out.
    """
    params = params.model_copy(update={"ema_decay": None})
    state = TrainState(
        network,
        network,
        build_optimizers(params.optimizer, network),
        {},
        CheckpointFolder("lr-finder"),
        ProcessGroup(),
        params.grad_accumulation_steps,
    )
    state.progress.totals = state.progress.totals.to(device)
    network.train()
    losses: list[float] = []
    with tqdm(rates(), desc="learning rates", leave=False, disable=None) as bar:
        for rate, micro_batches in zip(bar, _endless(batches, state), strict=False):
            factor = rate / params.optimizer.lr
            value = train_step(state, micro_batches, loss, params, device, factor).item()
            if not math.isfinite(value):
                break
            losses.append(value)
            smoothed = smooth(losses)
            if smoothed[-1] > _TOO_HIGH * smoothed.min():
                break
    return losses


def rates() -> list[float]:
    """Return the learning rates of the test, each larger than the last by the same factor."""
    return [float(f"{rate:.4g}") for rate in np.geomspace(LOWEST_RATE, HIGHEST_RATE, STEPS)]


def _endless(batches: Batches, state: TrainState) -> Iterator[list[Batch]]:
    """Yield the batches of one epoch after the other."""
    while True:
        yield from batches.training_batches(state.progress.epoch)
        state.progress.epoch += 1
        state.progress.step = 0


def smooth(losses: list[float]) -> np.ndarray:
    """Return the geometric mean of the losses around each one, with Gaussian weights: `(n,)`.

    Unlike a running mean, it does not move the curve towards larger rates; and a geometric mean
    does not spread the explosion at the end to the steps before.
    """
    places = np.arange(len(losses))
    weights = np.exp(-(((places[:, None] - places) / _KERNEL_STEPS) ** 2) / 2)
    logarithms = np.log(np.maximum(losses, 1e-9))
    return np.exp(weights @ logarithms / weights.sum(axis=1))


def tabulate(losses: list[float]) -> pd.DataFrame:
    """Return a row for each step: step, lr, loss, smoothed_loss."""
    columns = {
        "step": range(1, len(losses) + 1),
        "lr": rates()[: len(losses)],
        "loss": losses,
        "smoothed_loss": smooth(losses),
    }
    return pd.DataFrame(columns).round({"loss": 6, "smoothed_loss": 6})


def suggest(table: pd.DataFrame) -> Suggestion:
    """Return the rates to choose from, in two digits; raise UserError where the loss never fell."""
    smoothed = table["smoothed_loss"].to_numpy()
    lowest = int(smoothed.argmin()) if len(smoothed) else 0
    if not lowest:
        raise UserError(
            f"The loss fell at no learning rate from {LOWEST_RATE:g} on (results/lr_finder.csv): "
            "look at the images and their classes, or set train.precision: fp32."
        )
    # In every step the logarithm of the rate grows by the same.
    steepest = int(np.gradient(smoothed)[: lowest + 1].argmin())
    found = table["lr"].iloc[[steepest, lowest]]
    return Suggestion(*(float(f"{rate:.2g}") for rate in found))
