from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from classifier.optimization import (
    OptimizationParams,
    OptimizerParams,
    ScheduleParams,
    build_optimizer,
    learning_rate,
)

Schedule = Literal["constant", "step", "cosine"]
SCHEDULES = st.sampled_from(["constant", "step", "cosine"])
SHARES = st.floats(0, 1)


def make_params(
    schedule: Schedule, *, epochs: int = 10, warmup: float = 0.0, gamma: float = 0.5
) -> OptimizationParams:
    return OptimizationParams(
        epochs=epochs,
        optimizer=OptimizerParams(name="sgd", lr=0.2, momentum=0.9, weight_decay=0.0),
        schedule=ScheduleParams(name=schedule, warmup_epochs=warmup, step_epochs=3, gamma=gamma),
    )


@settings(max_examples=30)
@given(schedule=SCHEDULES, warmup=st.floats(0.1, 9.0), share=st.floats(0, 1, exclude_max=True))
def test_warm_up_rises_linearly_from_zero(schedule: Schedule, warmup: float, share: float) -> None:
    rate = learning_rate(make_params(schedule, warmup=warmup), warmup * share)
    assert rate == pytest.approx(0.2 * share, abs=1e-12)


@settings(max_examples=30)
@given(schedule=SCHEDULES, warmup=st.floats(0, 9.0), share=SHARES)
def test_rate_stays_between_zero_and_the_peak(
    schedule: Schedule, warmup: float, share: float
) -> None:
    assert 0 <= learning_rate(make_params(schedule, warmup=warmup), 10 * share) <= 0.2


@settings(max_examples=30)
@given(warmup=st.floats(0, 9.0), share=SHARES)
def test_constant_stays_at_the_peak_after_the_warm_up(warmup: float, share: float) -> None:
    params = make_params("constant", warmup=warmup)
    assert learning_rate(params, warmup + (10 - warmup) * share) == 0.2


@settings(max_examples=30)
@given(warmup=st.floats(0, 9.0), epochs=st.integers(10, 300))
def test_cosine_falls_from_the_peak_over_its_half_to_zero(warmup: float, epochs: int) -> None:
    params = make_params("cosine", warmup=warmup, epochs=epochs)
    middle = (warmup + epochs) / 2
    assert learning_rate(params, warmup) == pytest.approx(0.2)
    assert learning_rate(params, middle) == pytest.approx(0.1)
    assert learning_rate(params, epochs) == pytest.approx(0, abs=1e-9)


def test_cosine_never_rises_after_the_warm_up() -> None:
    params = make_params("cosine", warmup=1.0)
    rates = [learning_rate(params, 1 + step / 7) for step in range(63)]
    assert rates == sorted(rates, reverse=True)


def test_step_falls_by_gamma_every_step_epochs() -> None:
    params = make_params("step", gamma=0.5)
    rates = [learning_rate(params, progress) for progress in (0, 2.99, 3, 5.5, 6, 9)]
    assert rates == pytest.approx([0.2, 0.2, 0.1, 0.1, 0.05, 0.025])


class TwoLayers(nn.Module):
    """Weights and biases, a batch norm, and a layer that stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.fixed = nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)
        for parameter in self.parameters():
            nn.init.ones_(parameter)
        self.fixed.requires_grad_(False)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_decay_pulls_at_weights_and_not_at_biases_and_batch_norm(
    name: Literal["sgd", "adam", "adamw"],
) -> None:
    model = TwoLayers()
    params = OptimizerParams(name=name, lr=0.1, momentum=0.9, weight_decay=0.5)
    optimizer = build_optimizer(params, model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = {key for key, value in model.named_parameters() if not (value == 1).all()}
    assert moved == {"layer.weight"}
    assert (model.layer.weight < 1).all()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_weight_that_is_not_frozen_is_optimised_once(
    name: Literal["sgd", "adam", "adamw"],
) -> None:
    model = TwoLayers()
    params = OptimizerParams(name=name, lr=0.1, momentum=0.0, weight_decay=0.0)
    groups = build_optimizer(params, model).param_groups
    optimised = [id(weight) for group in groups for weight in group["params"]]
    trained = [*model.layer.parameters(), *model.norm.parameters()]
    assert sorted(optimised) == sorted(id(weight) for weight in trained)


def test_names_give_the_optimisers() -> None:
    def kind(name: Literal["sgd", "adam", "adamw"]) -> type:
        params = OptimizerParams(name=name, lr=0.1, momentum=0.9, weight_decay=0.0)
        return type(build_optimizer(params, nn.Linear(1, 1)))

    expected = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW]
    assert [kind("sgd"), kind("adam"), kind("adamw")] == expected


def test_sgd_takes_nesterovs_step() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    params = OptimizerParams(name="sgd", lr=1.0, momentum=0.5, weight_decay=0.0)
    optimizer = build_optimizer(params, layer)
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    # Plain momentum would take the gradient, 1; Nesterov's form adds half of it.
    assert layer.weight.item() == pytest.approx(-1.5)
