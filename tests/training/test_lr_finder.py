import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.backbones import backbone_params
from builders.tiny import tiny_batches, tiny_model, tiny_params, write_split
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.models.weights.pretrained import write_backbone
from classifier.training import lr_finder
from classifier.training.lr_finder import range_test, rates, smooth, suggest, tabulate
from classifier.training.setup import learner, prepare
from classifier.training.step import Loss

CPU = torch.device("cpu")


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A data set, in a project with a backbone."""
    monkeypatch.chdir(tmp_path)
    write_backbone(backbone_params(), Path("data/backbone"))
    return write_split(tmp_path / "split")


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "sgd"}, "ema_decay": 0.9},
        {"optimizer": {"name": "adam", "max_grad_norm": 1.0}, "mix": {"mixup": 0.2}},
        {
            "optimizer": {"name": "muon", "layer_decay": 0.5, "aux_lr": 0.002},
            "grad_accumulation_steps": 2,
        },
    ],
)
def test_rate_of_every_group_grows_in_proportion_to_its_initial_rate(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    params = tiny_params(**changes)
    optimizers: list[torch.optim.Optimizer] = []
    used: list[list[float]] = []

    def build(*arguments: Any) -> list[torch.optim.Optimizer]:
        optimizers.extend(build_optimizers(*arguments))
        return optimizers

    def step(*arguments: Any, **options: Any) -> Tensor:
        loss = train_step(*arguments, **options)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        used.append([group["lr"] / group["initial_lr"] * params.optimizer.lr for group in groups])
        return loss

    build_optimizers, train_step = lr_finder.build_optimizers, lr_finder.train_step
    monkeypatch.setattr(lr_finder, "build_optimizers", build)
    monkeypatch.setattr(lr_finder, "train_step", step)
    monkeypatch.setattr(lr_finder, "STEPS", 15)
    range_test(tiny_model(), tiny_batches(dataset, params), Loss(), params, CPU)
    assert len(used) > 8
    for expected, found in zip(rates(), used, strict=False):
        assert found == pytest.approx([expected] * len(found))


def test_rates_grow_by_the_same_factor() -> None:
    factors = np.divide(rates()[1:], rates()[:-1])
    assert (rates()[0], rates()[-1], len(rates())) == (1e-6, 10, 100)
    assert factors == pytest.approx(factors[0], rel=1e-3)


def test_test_ends_when_the_loss_explodes_and_leaves_out_what_is_not_finite(
    dataset: Dataset,
) -> None:
    torch.manual_seed(0)
    network = Raw()
    params = tiny_params(optimizer={"name": "sgd"})
    losses = range_test(network, tiny_batches(dataset, params), Loss(), params, CPU)
    assert 10 < len(losses) < len(rates())
    assert all(math.isfinite(loss) for loss in losses)


class Raw(nn.Module):
    """A linear layer on values up to 255, which large rates soon drive to infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.float().flatten(1))


def test_head_is_tested_on_the_features_of_a_frozen_backbone(dataset: Dataset) -> None:
    params = tiny_params(feature_views=0)
    model = tiny_model()
    model.freeze("backbone")
    setup = replace(prepare(params, dataset, CPU), model=model)
    before = [tensor.clone() for tensor in model.backbone.state_dict().values()]
    network, batches = learner(setup, params)
    assert network is model.head
    losses = range_test(network, batches, Loss(), params, CPU)
    assert smooth(losses).min() < 0.99 * smooth(losses)[0]
    for old, new in zip(before, model.backbone.state_dict().values(), strict=True):
        assert torch.equal(old, new)


LOSSES = st.lists(st.floats(0.001, 50), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(LOSSES)
def test_smoothing_stays_within_the_losses_and_takes_no_side(losses: list[float]) -> None:
    smoothed = smooth(losses)
    assert smoothed.shape == (len(losses),)
    assert smoothed.min() >= min(losses) * (1 - 1e-9)
    assert smoothed.max() <= max(losses) * (1 + 1e-9)
    assert smooth(losses[::-1]) == pytest.approx(smoothed[::-1])


def curve(fall: float, rise: float) -> list[float]:
    """Losses that fall fastest at one rate and explode from another on."""
    logarithms = np.log10(rates())
    falling = 2 / (1 + np.exp(4 * (logarithms - np.log10(fall))))
    losses = 0.3 + falling + np.exp(8 * (logarithms - np.log10(rise)))
    return losses[losses < 5].tolist()


@pytest.mark.parametrize(("fall", "rise"), [(1e-3, 0.1), (0.03, 1.0)])
def test_suggestion_is_where_the_loss_falls_fastest(fall: float, rise: float) -> None:
    found = suggest(tabulate(curve(fall, rise)))
    assert found.steepest == pytest.approx(fall, rel=0.4)
    assert fall < found.lowest < rise


def test_fall_after_the_lowest_loss_is_not_looked_at() -> None:
    losses = [*curve(1e-3, 0.1), *np.linspace(40, 1, 10)]
    assert suggest(tabulate(losses)).steepest == pytest.approx(1e-3, rel=0.4)


@pytest.mark.parametrize("losses", [[], [2.0], np.linspace(1, 3, 40).tolist()])
def test_loss_that_never_falls_is_reported(losses: list[float]) -> None:
    with pytest.raises(UserError, match=r"fell at no learning rate .*results/lr_finder\.csv"):
        suggest(tabulate(losses))
