"""The learning rate along the run."""

from collections.abc import Sequence

import pytest
from builders.tiny import tiny_model, tiny_params
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from classifier.training.optimization import build_optimizers, learning_rates, rate_factor
from classifier.training.params import TrainParams

SCHEDULES = st.sampled_from(["constant", "step", "linear", "cosine", "plateau"])
SHARES = st.floats(0, 1)


def make_params(
    lr_scheduler: str, *, epochs: int = 10, warmup: float = 0.0, gamma: float = 0.5, step: int = 3
) -> TrainParams:
    return tiny_params(
        epochs=epochs,
        optimizer={"lr": 0.2},
        lr_scheduler={
            "name": lr_scheduler,
            "warmup_epochs": warmup,
            "step_epochs": step,
            "gamma": gamma,
        },
    )


def rate_after(params: TrainParams, progress: float, val_losses: Sequence[float] = ()) -> float:
    return params.optimizer.lr * rate_factor(params, progress, val_losses)


@settings(max_examples=30, deadline=None)
@given(lr_scheduler=SCHEDULES, warmup=st.floats(0.1, 9.0), share=st.floats(0, 1, exclude_max=True))
def test_warm_up_rises_linearly_from_zero(lr_scheduler: str, warmup: float, share: float) -> None:
    rate = rate_after(make_params(lr_scheduler, warmup=warmup), warmup * share)
    assert rate == pytest.approx(0.2 * share, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(lr_scheduler=SCHEDULES, warmup=st.floats(0, 9.0), share=SHARES)
def test_rate_stays_between_zero_and_the_initial_rate(
    lr_scheduler: str, warmup: float, share: float
) -> None:
    assert 0 <= rate_after(make_params(lr_scheduler, warmup=warmup), 10 * share) <= 0.2


@settings(max_examples=30, deadline=None)
@given(warmup=st.floats(0, 9.0), share=SHARES)
def test_constant_stays_at_the_initial_rate_after_the_warm_up(warmup: float, share: float) -> None:
    params = make_params("constant", warmup=warmup)
    assert rate_after(params, warmup + (10 - warmup) * share) == 0.2


@settings(max_examples=30, deadline=None)
@given(warmup=st.floats(0, 9.0), epochs=st.integers(10, 300), share=SHARES)
def test_linear_falls_from_the_initial_rate_to_zero_by_the_epochs_that_are_left(
    warmup: float, epochs: int, share: float
) -> None:
    params = make_params("linear", warmup=warmup, epochs=epochs)
    done = warmup + (epochs - warmup) * share
    assert rate_after(params, done) == pytest.approx(0.2 * (1 - share), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(warmup=st.floats(0, 9.0), epochs=st.integers(10, 300))
def test_cosine_falls_from_the_initial_rate_over_its_half_to_zero(
    warmup: float, epochs: int
) -> None:
    params = make_params("cosine", warmup=warmup, epochs=epochs)
    middle = (warmup + epochs) / 2
    assert rate_after(params, warmup) == pytest.approx(0.2)
    assert rate_after(params, middle) == pytest.approx(0.1)
    assert rate_after(params, epochs) == pytest.approx(0, abs=1e-9)


def test_cosine_never_rises_after_the_warm_up() -> None:
    params = make_params("cosine", warmup=1.0)
    rates = [rate_after(params, 1 + step / 7) for step in range(63)]
    assert rates == sorted(rates, reverse=True)


def test_step_falls_by_gamma_every_step_epochs() -> None:
    params = make_params("step", gamma=0.5)
    rates = [rate_after(params, progress) for progress in (0, 2.99, 3, 5.5, 6, 9)]
    assert rates == pytest.approx([0.2, 0.2, 0.1, 0.1, 0.05, 0.025])


def plateau_rates(losses: list[float], step: int) -> list[float]:
    """The rates in the epochs after each of these validation losses."""
    params = make_params("plateau", epochs=20, step=step)
    return [rate_after(params, n, losses[:n]) for n in range(1, len(losses) + 1)]


def test_plateau_falls_when_the_loss_has_not_fallen_for_step_epochs() -> None:
    losses = [3.0, 2.0, 2.0, 2.5, 1.9, 1.9, 1.9]
    assert plateau_rates(losses, 3) == [0.2] * 7
    assert plateau_rates([*losses, 2.5], 3)[-1] == 0.1


def test_plateau_counts_anew_after_each_fall() -> None:
    assert plateau_rates([1.0] * 8, 3) == pytest.approx([0.2] * 3 + [0.1] * 3 + [0.05] * 2)


@settings(max_examples=40, deadline=None)
@given(losses=st.lists(st.integers(0, 6), max_size=15), step=st.integers(1, 4))
def test_plateaus_are_those_that_pytorch_finds(losses: list[int], step: int) -> None:
    (optimizer,) = build_optimizers(tiny_params().optimizer, nn.Linear(1, 1))
    for group in optimizer.param_groups:
        group["lr"] = 0.2
    theirs = ReduceLROnPlateau(optimizer, factor=0.5, patience=step - 1, threshold=0.0)
    expected = []
    for loss in losses:
        theirs.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    assert plateau_rates([float(loss) for loss in losses], step) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(lr_scheduler=SCHEDULES, progress=st.floats(0, 10))
def test_rate_is_the_factor_of_the_initial_rate(lr_scheduler: str, progress: float) -> None:
    params, losses = make_params(lr_scheduler, warmup=1.0), [1.0] * int(progress)
    factor = rate_factor(params, progress, losses)
    assert 0 <= factor <= 1
    optimizers = build_optimizers(params.optimizer, nn.Linear(3, 3))
    assert learning_rates(optimizers, factor) == {"lr": pytest.approx(0.2 * factor, abs=1e-8)}


def test_log_names_the_rate_of_each_parameter_group_where_they_differ() -> None:
    params = tiny_params(optimizer={"name": "muon", "lr": 0.2, "aux_lr": 0.01}).optimizer
    rates = learning_rates(build_optimizers(params, tiny_model()), 0.5)
    assert rates["lr"] == 0.1
    assert rates["lr_aux"] == pytest.approx(0.005)
    hidden = [rate for name, rate in rates.items() if name.startswith("lr_backbone.")]
    assert hidden
    assert set(hidden) == {0.1}


def test_log_shows_that_rates_fall_towards_the_first_layer() -> None:
    params = tiny_params(optimizer={"name": "sgd", "lr": 0.2, "layer_decay": 0.5}).optimizer
    rates = learning_rates(build_optimizers(params, tiny_model()), 1.0)
    of_layers = [rate for name, rate in rates.items() if name != "lr"]
    assert rates["lr"] == rates["lr_head"] == max(of_layers) == 0.2
    assert min(of_layers) == pytest.approx(0.2 * 0.5 ** (len(of_layers) - 1))
