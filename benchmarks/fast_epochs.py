"""Seconds of `presets/cifar10-fast.yaml` against the recipe that it follows, on this machine.

    python benchmarks/fast_epochs.py --rounds 6

airbench94 (arXiv 2404.00498) trains eight epochs on whole images in batches of 1,000, and
averages six views. A step of it, a step of the preset at each of its sides, and a view of some
images are timed in turn, on noise; each plan's seconds are their means times how many of them it
has. Both run on this engine, so that it is the plans that are compared, not programs.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from preset_params import preset_params
from throughput import bench, noise

from classifier.models.backbones.backbone_description import describe_backbone
from classifier.models.backbones.backbone_params import BackboneParams
from classifier.models.devices import prepare_pytorch
from classifier.models.prediction import predict_logits
from classifier.processing.views import named_view
from classifier.training.params import TrainParams

SIDE, IMAGES, TEST, JUDGED = 32, 50_000, 10_000, 1_000
RECIPE = {
    "progressive_resizing": [],
    "batch_size": 1_000,
    "grad_accumulation_steps": 4,
    "epochs": 8,
}
RECIPE_VIEWS = 6

# The network of the preset cifar10-fast.
AIRBENCH = describe_backbone(BackboneParams(name="airbench", weights=None, checksum=None))


class Plan(NamedTuple):
    """How many images are trained on in every epoch, with what, and how many views are judged."""

    images: float
    params: TrainParams
    views: int

    @property
    def epochs(self) -> Counter[int]:
        """How many epochs there are of each side."""
        return Counter(self.params.side(epoch + 1, SIDE) for epoch in range(self.params.epochs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    rounds = parser.parse_args().rounds
    content = preset_params("cifar10-fast")
    train, share = content["train"], content["split"]["fractions"]["train"]
    views = len(content["tta_evaluate"]["views"])
    plans = {
        "preset": Plan(share * IMAGES, TrainParams.model_validate(train), views),
        "recipe": Plan(IMAGES, TrainParams.model_validate(train | RECIPE), RECIPE_VIEWS),
    }
    prepare_pytorch()
    seconds, view = measure(plans, rounds)
    totals = {}
    for name, plan in plans.items():
        steps = plan.images / plan.params.batch_size
        training = sum(n * steps * seconds[name, side] for side, n in plan.epochs.items())
        told = ", ".join(
            f"{n} of {steps * seconds[name, side]:.1f} s at {side}"
            for side, n in plan.epochs.items()
        )
        judging = plan.views * view * TEST / JUDGED
        totals[name] = training + judging
        print(f"{name}: epochs: {told}, in all {training:.0f} s; {plan.views} views: ", end="")
        print(f"{judging:.0f} s; together {totals[name]:.0f} s")
    print(f"preset / recipe: {totals['preset'] / totals['recipe']:.3f}")


def measure(plans: dict[str, Plan], rounds: int) -> tuple[dict[tuple[str, int], float], float]:
    """Seconds of a step of each plan at each side, and of a view of `JUDGED` images."""
    with tempfile.TemporaryDirectory() as folder:
        steps = {
            (name, side): step_of(plan.params, side, Path(folder, f"{name}{side}"), rounds)
            for name, plan in plans.items()
            for side in plan.epochs
        }
        judge = view_of(plans["preset"].params, Path(folder, "judged"))
        sums, view = dict.fromkeys(steps, 0.0), 0.0
        for number in range(rounds + 1):
            for key, step in steps.items():
                sums[key] += timed(step) * (number > 0)  # the first warms up
            view += timed(judge) * (number > 0)
    return {key: total / rounds for key, total in sums.items()}, view / rounds


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def step_of(params: TrainParams, side: int, folder: Path, rounds: int) -> Callable[[], object]:
    """A function that makes a training step of this plan at this side."""
    folder.mkdir()
    _, stream, step = bench(
        params, AIRBENCH, noise(folder, (rounds + 1) * params.batch_size, SIDE), side
    )
    return lambda: step(next(stream))


def view_of(params: TrainParams, folder: Path) -> Callable[[], object]:
    """A function that shows the network a view of `JUDGED` images."""
    folder.mkdir()
    dataset = noise(folder, JUDGED, SIDE)
    model, view = bench(params, AIRBENCH, dataset).model, named_view("shift_left_1", SIDE, SIDE)
    rows = np.arange(JUDGED)
    return lambda: predict_logits(model, dataset.images, rows, [view], batch_size=250)


if __name__ == "__main__":
    main()
