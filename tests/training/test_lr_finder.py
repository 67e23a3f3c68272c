import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import (
    contents,
    tiny_batches,
    tiny_model,
    tiny_params,
    tiny_section,
    write_project,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset, load_dataset
from classifier.training import lr_finder
from classifier.training.checkpoint import StateFolder
from classifier.training.distributed import Processes
from classifier.training.lr_finder import (
    Suggestion,
    draw,
    range_test,
    rates,
    sentence,
    smooth,
    suggest,
    tabulate,
)
from classifier.training.setup import prepare_learning
from classifier.training.step import Loss

CPU = torch.device("cpu")


def run_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    torch.set_num_threads(1)
    lr_finder.main()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has a model and has had no other rate than the one in params.yaml."""
    folder = write_project(tmp_path_factory.mktemp("project"))
    (folder / "models").mkdir()
    (folder / "models/model.json").write_text("{}")
    return folder


@pytest.fixture
def dataset(project: Path) -> Dataset:
    return load_dataset(project / "data/split")


def test_program_writes_a_table_and_a_plot_beside_what_is_there_and_says_what_to_do(
    project: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    StateFolder("interrupted").save(1, 2, {"a": 1})
    project_before, cache_before = contents(project), contents(own_cache)
    run_in(project, monkeypatch)
    found = contents(project)
    written = {name: found.pop(name) for name in ("results/lr_finder.csv", "results/lr_finder.png")}
    assert (found, contents(own_cache)) == (project_before, cache_before)
    assert written["results/lr_finder.csv"].startswith(b"step,lr,loss,smoothed_loss\n1,1e-06,")
    assert written["results/lr_finder.png"].startswith(b"\x89PNG")
    (line,) = capsys.readouterr().out.splitlines()
    rate = float(line.split("train.optimizer.lr=")[1])
    assert line.endswith(f"try it with: dvc exp run -S train.optimizer.lr={rate:g}")
    assert rates()[0] < rate < rates()[-1]
    run_in(project, monkeypatch)
    assert {name: contents(project)[name] for name in written} == written


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
def test_rate_of_every_group_grows_in_proportion_to_its_peak(
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
        used.append([group["lr"] / group["peak"] * params.optimizer.lr for group in groups])
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
    model.backbone.requires_grad_(False)
    before = [tensor.clone() for tensor in model.backbone.state_dict().values()]
    network, batches = prepare_learning(params, model, dataset, CPU, Processes())
    assert network is model.head
    losses = range_test(network, batches, Loss(), params, CPU)
    assert smooth(losses).min() < 0.9 * losses[0]
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
def test_loss_that_never_falls_is_told(losses: list[float]) -> None:
    with pytest.raises(UserError, match=r"fell at no learning rate .*results/lr_finder\.csv"):
        suggest(tabulate(losses))


def test_plot_marks_both_rates_and_that_of_the_params() -> None:
    table = tabulate(curve(1e-3, 0.1))
    (axes,) = draw(table, Suggestion(0.001, 0.02), current=0.004).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "training loss")
    assert axes.get_xscale() == "log"
    marks = {str(line.get_label()): np.asarray(line.get_xdata())[0] for line in axes.lines[2:]}
    assert marks == {
        "suggestion: falls fastest (0.001)": 0.001,
        "lowest (0.02)": 0.02,
        "params.yaml (0.004)": 0.004,
    }
    # The explosion does not flatten what comes before.
    assert axes.get_ylim()[1] < 4


def test_sentence_keeps_the_proportion_of_muons_rates() -> None:
    params = tiny_params(optimizer={"name": "muon", "lr": 0.04, "aux_lr": 0.01}).optimizer
    said = sentence(Suggestion(0.02, 0.1), params)
    assert said.endswith("dvc exp run -S train.optimizer.lr=0.02 -S train.optimizer.aux_lr=0.005")


def test_missing_data_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_project(tmp_path, tiny_section())
    (folder / "data/split/images.npy").unlink()
    with pytest.raises(UserError, match=r"images\.npy is missing"):
        run_in(folder, monkeypatch)
