from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import tiny_batches, tiny_fit, tiny_params, tiny_state, write_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from classifier.training.batches import Batch, MicroBatches
from classifier.training.mixing import mix
from classifier.training.optimization import rate_factor
from classifier.training.params import TrainParams
from classifier.training.state import TrainState
from classifier.training.step import Loss, train_step

CPU = torch.device("cpu")
LOSSES = [(None, 0.0), (None, 0.2), ([1.0, 5.0, 9.0], 0.0), ([1.0, 5.0, 9.0], 0.2)]


class Linear(nn.Module):
    """One layer on the pixels, after `before`."""

    def __init__(self, before: nn.Module, side: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.head = nn.Sequential(before), nn.Linear(3 * side * side, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images.float().flatten(1)))


def linear(before: nn.Module | None = None, *, side: int = 4) -> Linear:
    return Linear(before or nn.Identity(), side)


def normed(side: int = 4) -> Linear:
    return linear(nn.BatchNorm1d(3 * side * side), side=side)


def make_batch(size: int = 11) -> Batch:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(size, 4, 4, 3, generator=generator)
    return Batch(inputs, torch.randint(0, 3, (size,), generator=generator))


def in_parts(batch: Batch, count: int) -> list[Batch]:
    """The batch in parts, of which the first are larger by one."""
    rows = MicroBatches(0, count, count).of(np.arange(len(batch.targets)))
    return [Batch(batch.inputs[part], batch.targets[part]) for part in rows]


def make_params(**changes: Any) -> TrainParams:
    """Plain gradient descent with a learning rate of 1."""
    plain: dict[str, Any] = {
        "optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0},
        "lr_scheduler": {"name": "constant", "warmup_epochs": 0.0},
        "augment": {"flip": 0.0, "crop_padding": None},
    }
    plain["optimizer"] |= changes.pop("optimizer", {})
    return tiny_params(**plain | changes)


def step(
    state: TrainState, parts: list[Batch], params: TrainParams, loss: Loss | None = None
) -> float:
    done = state.progress.epoch - 1 + (state.progress.step + 0.5) / 10
    factor = rate_factor(params, done, state.progress.val_losses)
    return train_step(state, parts, loss or Loss(), params, CPU, factor).item()


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def movement(before: dict[str, Tensor], network: nn.Module) -> np.ndarray:
    """What all weights together have moved by."""
    after = network.state_dict()
    return torch.cat([(after[name] - before[name]).flatten() for name in before]).numpy()


def make_loss(weights: list[float] | None, smoothing: float) -> Loss:
    return Loss(None if weights is None else torch.tensor(weights), smoothing)


@pytest.mark.parametrize(("weights", "smoothing"), LOSSES)
def test_loss_over_its_weight_is_pytorchs_mean(
    weights: list[float] | None, smoothing: float
) -> None:
    loss, batch = make_loss(weights, smoothing), make_batch()
    logits = linear()(batch.inputs)
    mean = loss.sum(logits, batch.targets) / loss.weight(batch.targets)
    expected = cross_entropy(logits, batch.targets, loss.weights, label_smoothing=smoothing)
    assert mean.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("weights", "smoothing"), LOSSES)
def test_step_follows_the_gradient_of_the_mean_loss_which_it_returns(
    weights: list[float] | None, smoothing: float
) -> None:
    loss, batch = make_loss(weights, smoothing), make_batch()
    network, params = linear(), make_params()
    state = tiny_state(network, params)
    for _ in range(2):
        logits = network(batch.inputs)
        expected = cross_entropy(logits, batch.targets, loss.weights, label_smoothing=smoothing)
        gradients = torch.autograd.grad(expected, list(network.parameters()))
        before = state_of(network)
        assert step(state, [batch], params, loss) == pytest.approx(expected.item(), rel=1e-6)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        np.testing.assert_allclose(movement(before, network), -flat, atol=1e-5)


@pytest.mark.parametrize(("weights", "smoothing"), LOSSES)
@pytest.mark.parametrize("count", [2, 3, 11])
def test_steps_in_parts_are_those_on_the_whole_batch(
    count: int, weights: list[float] | None, smoothing: float
) -> None:
    batch, loss = make_batch(), make_loss(weights, smoothing)
    params = make_params(optimizer={"lr": 0.3, "momentum": 0.9})
    whole, divided = (tiny_state(linear(), params) for _ in range(2))
    for _ in range(2):
        expected = step(whole, [batch], params, loss)
        assert step(divided, in_parts(batch, count), params, loss) == pytest.approx(expected)
    np.testing.assert_allclose(movement(state_of(whole.network), divided.network), 0, atol=1e-6)
    np.testing.assert_allclose(divided.progress.totals, whole.progress.totals, rtol=1e-5)


def test_totals_are_summed_loss_correct_predictions_and_images() -> None:
    batch, network, params = make_batch(), linear(), make_params(optimizer={"lr": 1e-30})
    state = tiny_state(network, params)
    for _ in range(2):
        step(state, in_parts(batch, 3), params)
    logits = network(batch.inputs)
    correct = (logits.argmax(dim=1) == batch.targets).sum().item()
    summed = cross_entropy(logits, batch.targets, reduction="sum").item()
    assert state.progress.totals.tolist() == pytest.approx([2 * summed, 2 * correct, 22])
    assert (state.progress.step, state.clock.images) == (2, 22)


@pytest.mark.parametrize("count", [1, 3])
def test_clipping_shortens_the_whole_gradient_and_keeps_its_direction(count: int) -> None:
    parts = in_parts(make_batch(), count)

    def moved(max_grad_norm: float | None) -> np.ndarray:
        network, params = linear(), make_params(optimizer={"max_grad_norm": max_grad_norm})
        before = state_of(network)
        step(tiny_state(network, params), parts, params)
        return movement(before, network)

    free = moved(None)
    length = float(np.linalg.norm(free))
    clipped = moved(length / 4)
    assert np.linalg.norm(clipped) == pytest.approx(length / 4, rel=1e-4)
    np.testing.assert_allclose(clipped, free / 4, atol=1e-5)
    np.testing.assert_array_equal(moved(2 * length), free)


def test_average_moves_towards_each_steps_weights_by_what_decay_leaves() -> None:
    network, params = normed(), make_params(ema_decay=0.8, optimizer={"lr": 0.5})
    state, expected = tiny_state(network, params), state_of(network)
    for _ in range(3):
        step(state, [make_batch()], params)
        for name, tensor in network.state_dict().items():
            expected[name] = 0.8 * expected[name] + (1 - 0.8) * tensor
    for name, average in state.ema.items():
        if average.is_floating_point():
            np.testing.assert_allclose(average, expected[name], atol=1e-6)
    assert state.ema["backbone.0.num_batches_tracked"] == 3
    assert not torch.allclose(state.ema["head.weight"], network.head.weight, atol=1e-3)


def test_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    dataset, slow = write_split(tmp_path), {"lr": 0.01}
    params = make_params(epochs=1, ema_decay=0.8, optimizer=slow)
    raw = make_params(epochs=1, optimizer=slow)
    state = tiny_state(normed(side=8), raw)
    average = state_of(state.network)
    for parts in tiny_batches(dataset, raw).training_batches(1):
        step(state, parts, raw)
        for name, tensor in state.network.state_dict().items():
            average[name] = 0.8 * average[name] + (1 - 0.8) * tensor
    network = normed(side=8)
    history = tiny_fit(network, tiny_batches(dataset, params), params).history
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            np.testing.assert_allclose(tensor, average[name], rtol=1e-4, atol=1e-4)
    assert np.abs(movement(state_of(state.network), network)).max() > 0.01
    rows = dataset.rows("val")
    logits = network.eval()(torch.from_numpy(dataset.images[rows]))
    expected = cross_entropy(logits, torch.from_numpy(dataset.labels[rows])).item()
    assert history[-1]["val_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", [{"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}])
@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 9.0]])
def test_mixed_images_loss_is_shared_between_both_classes(
    kind: dict[str, float], weights: list[float] | None
) -> None:
    batch, network, loss = make_batch(), linear(), make_loss(weights, 0.0)
    params = make_params(seed=6, mix=kind)
    state = tiny_state(network, params)
    state.progress.epoch, state.progress.step = 2, 3
    # The mixing of a part is a function of seed, epoch, step and the part's number.
    inputs, others, share = mix(batch.inputs, batch.targets, params.mix, [6, 2, 3, 0])
    assert 0.05 < share < 0.95
    first, second = (
        cross_entropy(network(inputs), targets, loss.weights).item()
        for targets in (batch.targets, others)
    )
    assert first != pytest.approx(second, rel=1e-3)
    expected = share * first + (1 - share) * second
    assert step(state, [batch], params, loss) == pytest.approx(expected, rel=1e-5)


def test_parts_and_steps_draw_their_own_dropout_which_a_resumed_run_repeats() -> None:
    def masks(first_step: int) -> list[Tensor]:
        network, params = linear(nn.Dropout(0.5)), make_params()
        seen: list[Tensor] = []
        network.backbone.register_forward_hook(lambda *call: seen.append(call[2] == 0))
        state = tiny_state(network, params)
        state.progress.step = first_step
        for _ in range(2):
            step(state, in_parts(make_batch(8), 2), params)
        return seen

    whole, resumed = masks(0), masks(1)
    assert len({mask.numpy().tobytes() for mask in whole}) == 4
    assert all(map(torch.equal, whole[2:], resumed[:2]))


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_groups_have_their_initial_rates_times_the_schedules_factor(name: str) -> None:
    network = linear(nn.Linear(48, 48))
    params = make_params(
        epochs=4,
        optimizer={"name": name, "lr": 0.1, "aux_lr": 0.02, "layer_decay": 0.5},
        lr_scheduler={"name": "linear", "warmup_epochs": 0.0},
    )
    state = tiny_state(network, params)
    state.progress.epoch, state.progress.step = 2, 3
    step(state, [make_batch()], params)
    groups = [group for optimizer in state.optimizers for group in optimizer.param_groups]
    # In the middle of the fourth of ten steps of the second of four epochs.
    expected = [group["initial_lr"] * (1 - 1.35 / 4) for group in groups]
    assert [group["lr"] for group in groups] == pytest.approx(expected)
    assert len(set(expected)) > 1


def test_plateaus_are_those_of_the_validation_losses_so_far() -> None:
    params = make_params(
        epochs=9,
        lr_scheduler={"name": "plateau", "warmup_epochs": 0.0, "step_epochs": 2, "gamma": 0.1},
    )
    state = tiny_state(linear(), params)
    state.progress.epoch = 4
    state.progress.history = [{"val_loss": loss} for loss in (1.0, 1.1, 1.2)]
    step(state, [make_batch()], params)
    assert state.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_network_computes_in_the_precision_asked_for_and_keeps_its_own(
    precision: str, dtype: str
) -> None:
    network, params = linear(), make_params(precision=precision)
    seen: list[torch.dtype] = []
    network.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    step(tiny_state(network, params), [make_batch()], params)
    assert seen == [getattr(torch, dtype)]
    assert network.head.weight.dtype == torch.float32
