"""Program: find a learning rate for section `train` of params.yaml, in about a hundred steps.

`classifier lr-find`

The range test of Smith ("Cyclical learning rates", arXiv 1506.01186), with a rate that grows by the
same factor in every step: below some rate the loss hardly falls, above another it grows. What
params.yaml asks for beside the rate is as in training, but the schedule, moving averages of the
weights and `train.linear_probe_epochs`; the network is thrown away.
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

from classifier.core.config import load_section
from classifier.core.errors import UserError
from classifier.core.files import write_csv
from classifier.data.dataset import load_dataset
from classifier.models.devices import choose_device, make_deterministic
from classifier.plotting.agg import Figure
from classifier.plotting.figures import BLUE, GREEN, GREY, ORANGE, new_figure, write_png
from classifier.training.batches import Batch
from classifier.training.checkpoint import StateFolder
from classifier.training.distributed import Processes
from classifier.training.loop import Batches
from classifier.training.optimization import OptimizerParams, build_optimizers
from classifier.training.params import TrainParams
from classifier.training.setup import describe, prepare_learning, prepare_loss, prepare_model
from classifier.training.state import Run
from classifier.training.step import Loss, train_step

DATA, RESULTS = Path("data/split"), Path("results")
LOWEST_RATE, HIGHEST_RATE, STEPS = 1e-6, 10.0, 100
# The test ends where the loss is so many times its lowest.
_TOO_HIGH = 4.0
# Steps that a smoothed loss reaches to each side, as the deviation of a bell curve.
_REACH = 3.0


class Suggestion(NamedTuple):
    """Rates of the range test: where the loss fell fastest, and where it was lowest."""

    steepest: float
    lowest: float


def main() -> None:
    params = load_section("train", TrainParams)
    make_deterministic()
    device = choose_device()
    dataset = load_dataset(DATA)
    model = prepare_model(params, dataset, describe(params, dataset), device)
    network, batches = prepare_learning(params, model, dataset, device, Processes())
    losses = range_test(network, batches, prepare_loss(params, dataset, device), params, device)
    table = tabulate(losses)
    write_csv(RESULTS / "lr_finder.csv", table)
    found = suggest(table)
    write_png(draw(table, found, params.optimizer.lr), RESULTS / "lr_finder.png")
    print(sentence(found, params.optimizer))


def range_test(
    network: nn.Module, batches: Batches, loss: Loss, params: TrainParams, device: torch.device
) -> list[float]:
    """Train `network` in place at the growing `rates`; the loss before each step.

    Ends early where the smoothed loss has become too high, or where a loss is no longer finite,
    which is left out.
    """
    params = params.model_copy(update={"ema_decay": None})
    optimizers = build_optimizers(params.optimizer, network)
    states = StateFolder("lr-finder")
    run = Run(network, network, optimizers, {}, states, Processes(), params.grad_accumulation_steps)
    run.progress.totals = run.progress.totals.to(device)
    network.train()
    losses: list[float] = []
    with tqdm(rates(), desc="learning rates", leave=False, disable=None) as bar:
        for rate, parts in zip(bar, _endless(batches, run), strict=False):
            steps = len(batches.training_order(run.progress.epoch))
            factor = rate / params.optimizer.lr
            value = train_step(run, parts, loss, params, device, steps, factor=factor).item()
            if not math.isfinite(value):
                break
            losses.append(value)
            smoothed = smooth(losses)
            if smoothed[-1] > _TOO_HIGH * smoothed.min():
                break
    return losses


def rates() -> list[float]:
    """The learning rates of the test, each larger than the last by the same factor."""
    return [float(f"{rate:.4g}") for rate in np.geomspace(LOWEST_RATE, HIGHEST_RATE, STEPS)]


def _endless(batches: Batches, run: Run) -> Iterator[list[Batch]]:
    """Batches of one epoch after the other."""
    while True:
        yield from batches.training_batches(run.progress.epoch)
        run.progress.epoch += 1
        run.progress.step = 0


def smooth(losses: list[float]) -> np.ndarray:
    """Each loss as a mean of those about it, the near ones weighing more: float64 `(n,)`.

    Unlike a running mean, it does not move the curve towards larger rates; and as a geometric mean
    it does not spread the explosion at the end to the steps before.
    """
    places = np.arange(len(losses))
    weights = np.exp(-(((places[:, None] - places) / _REACH) ** 2) / 2)
    logarithms = np.log(np.maximum(losses, 1e-9))
    return np.exp(weights @ logarithms / weights.sum(axis=1))


def tabulate(losses: list[float]) -> pd.DataFrame:
    """What the plot shows, a row for each step: `step, lr, loss, smoothed_loss`."""
    columns = {
        "step": range(1, len(losses) + 1),
        "lr": rates()[: len(losses)],
        "loss": losses,
        "smoothed_loss": smooth(losses),
    }
    return pd.DataFrame(columns).round({"loss": 6, "smoothed_loss": 6})


def suggest(table: pd.DataFrame) -> Suggestion:
    """The rates to choose from, of two digits; raises UserError where the loss never fell."""
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


def draw(table: pd.DataFrame, found: Suggestion, current: float) -> Figure:
    """The loss by learning rate, with the suggestion and the rate of params.yaml marked."""
    figure = new_figure(7, 4)
    axes = figure.subplots()
    axes.plot(table["lr"], table["loss"], ".", color=GREY, alpha=0.5, label="loss of a batch")
    axes.plot(table["lr"], table["smoothed_loss"], color=BLUE, label="smoothed")
    for label, rate, colour, style in (
        ("suggestion: falls fastest", found.steepest, ORANGE, "-"),
        ("lowest", found.lowest, GREEN, "--"),
        ("params.yaml", current, GREY, ":"),
    ):
        axes.axvline(rate, color=colour, linestyle=style, label=f"{label} ({rate:g})")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    # What comes after the lowest loss may explode out of the image.
    until_lowest = table["smoothed_loss"][: int(table["smoothed_loss"].argmin()) + 1]
    axes.set_ylim(0, 1.25 * float(until_lowest.max()))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def sentence(found: Suggestion, params: OptimizerParams) -> str:
    """What to do now."""
    changes = f"-S train.optimizer.lr={found.steepest:g}"
    if params.name == "muon":
        # The test moved both rates together.
        changes += f" -S train.optimizer.aux_lr={found.steepest * params.aux_lr / params.lr:.2g}"
    return (
        f"The loss fell fastest at a learning rate of {found.steepest:g} and was lowest at "
        f"{found.lowest:g} (results/lr_finder.png); try it with: dvc exp run {changes}"
    )
