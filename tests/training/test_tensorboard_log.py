import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.tiny import (
    tiny_batches,
    tiny_model,
    tiny_params,
    tiny_state,
    weights_of,
    write_split,
)
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.training.checkpoint import CheckpointFolder
from classifier.training.distributed import ProcessGroup
from classifier.training.loggers import TensorBoardLog
from classifier.training.loop import fit
from classifier.training.optimization import build_optimizers
from classifier.training.state import HistoryRow, Progress, TrainState
from classifier.training.step import Loss

HISTORY: list[HistoryRow] = [
    {"epoch": epoch, "lr": 0.1 / epoch, "val_loss": 2 / epoch, "val_accuracy": 1 - 1 / epoch}
    for epoch in range(1, 6)
]
CPU = torch.device("cpu")
SAMPLES = np.full((2, 4, 6, 3), 200, dtype=np.uint8)
NO_SAMPLES = SAMPLES[:0]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path / "split")


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A folder for event files, where there is TensorBoard to write and read them."""
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    return tmp_path / "events"


def read(folder: Path) -> dict[str, dict[int, float]]:
    """Every scalar by tag and step; a step that appears twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import (  # noqa: PLC0415
        EventAccumulator,
    )

    everything = {"scalars": 0, "histograms": 0, "images": 0}
    accumulator = EventAccumulator(str(folder), size_guidance=everything).Reload()
    found = {}
    for tag in accumulator.Tags()["scalars"]:
        found[tag] = {event.step: event.value for event in accumulator.Scalars(tag)}
        assert len(found[tag]) == len(accumulator.Scalars(tag))
    for tag in accumulator.Tags()["histograms"]:
        found[tag] = {e.step: e.histogram_value.num for e in accumulator.Histograms(tag)}
    for tag in accumulator.Tags()["images"]:
        found[tag] = {event.step: event.width for event in accumulator.Images(tag)}
    return found


def make_run(network: nn.Module, epochs: int = 1) -> TrainState:
    """A run as it stands after `epochs`, with gradients."""
    optimizers = build_optimizers(tiny_params().optimizer, network)
    progress = Progress(history=HISTORY[:epochs])
    return TrainState(
        network, network, optimizers, {}, CheckpointFolder("run"), ProcessGroup(), 1, progress
    )


def images(dataset: Dataset) -> Tensor:
    return torch.from_numpy(dataset.images[dataset.rows("val")])


def trained_weights(
    dataset: Dataset, folder: Path | None, key: str
) -> tuple[bytes, list[HistoryRow]]:
    """What three epochs with dropout lead to, with and without a log."""
    params = tiny_params(model={"head": {"hidden": 8, "dropout": 0.5}})
    network = tiny_model(params.model)
    log = TensorBoardLog(folder) if folder else None

    def after_epoch(state: TrainState) -> None:
        if log:
            log.update(state, images(dataset), SAMPLES)

    state = tiny_state(network, params, key)
    fit(
        state,
        tiny_batches(dataset, params),
        Loss(),
        params,
        device=CPU,
        checkpoint_minutes=1e-9,
        after_epoch=after_epoch,
    )
    return weights_of(network), state.progress.history


def test_watched_run_ends_in_the_same_bits_and_logs_every_epoch(
    dataset: Dataset, events: Path
) -> None:
    watched = trained_weights(dataset, events, "watched")
    assert watched == trained_weights(dataset, None, "unwatched")
    found = read(events)
    assert found.pop("augmentations") == {1: 12}  # two images side by side, of width 6
    for row in watched[1]:
        for name in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            assert found[f"history/{name}"][int(row["epoch"])] == pytest.approx(row[name])
    of_layers = {"weights", "weights_norm", "gradients", "gradients_norm"}
    of_outputs = {"activation_mean", "activation_std", "activation_zeros"}
    assert {tag.split("/")[0] for tag in found} == {"history"} | of_layers | of_outputs
    for tag, points in found.items():
        assert list(points) == [1, 2, 3], tag


def draw_from_generators() -> tuple[float, float, float]:
    """What every global generator gives next; it is put back."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    drawn = torch.rand(1).item(), np.random.random(), random.random()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    return drawn


def test_update_changes_neither_network_nor_mode_nor_any_random_generator(
    dataset: Dataset, events: Path
) -> None:
    network = tiny_model().train()
    network.backbone.get_submodule("0").eval()
    modes = [module.training for module in network.modules()]
    state, before = make_run(network), weights_of(network)
    generators = draw_from_generators()
    TensorBoardLog(events).update(state, images(dataset), NO_SAMPLES)
    assert draw_from_generators() == generators
    assert weights_of(network) == before
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())


class Two(nn.Module):
    """Two layers whose activations are easily computed otherwise."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images.float()))


def test_figures_of_each_layer_are_those_of_its_weights_gradients_and_outputs(
    dataset: Dataset, events: Path
) -> None:
    network, shown = Two(), images(dataset)
    network(shown).square().mean().backward()
    TensorBoardLog(events).update(make_run(network), shown, NO_SAMPLES)
    found = {tag: points[1] for tag, points in read(events).items()}
    linear = network.backbone[1]
    assert isinstance(linear, nn.Linear)
    parameters = list(linear.parameters())
    gradients = torch.cat(
        [weight.grad.flatten() for weight in parameters if weight.grad is not None]
    )
    with torch.no_grad():
        weights = torch.cat([weight.flatten() for weight in parameters])
        outputs, logits = linear(shown.float().flatten(1)), network(shown)
    expected = {
        "weights_norm/backbone.1": weights.norm(),
        "gradients_norm/backbone.1": gradients.norm(),
        "activation_mean/backbone.1": outputs.mean(),
        "activation_std/backbone.1": outputs.std(),
        "activation_zeros/backbone.1": (outputs.relu() == 0).float().mean(),
        "activation_mean/head": logits.mean(),
        "weights/backbone.1": 192 * 4 + 4,
        "gradients/head": 4 * 3 + 3,
    }
    assert {tag: found[tag] for tag in expected} == {
        tag: pytest.approx(float(value), rel=1e-5) for tag, value in expected.items()
    }


def test_resumed_run_takes_back_what_comes_again_and_has_no_gradients_at_first(
    dataset: Dataset, events: Path
) -> None:
    def live(epochs: int, log: TensorBoardLog, *, resumed: bool = False) -> None:
        network = Two()
        if not resumed:
            network(images(dataset)).square().mean().backward()
        log.update(make_run(network, epochs), images(dataset), NO_SAMPLES)

    killed, again = TensorBoardLog(events), TensorBoardLog(events)
    for epochs in (1, 2, 3):
        live(epochs, killed)
    live(2, again, resumed=True)
    live(3, again)
    live(4, again)
    found = read(events)
    assert list(found["history/val_loss"]) == [1, 2, 3, 4]
    assert list(found["weights_norm/head"]) == [1, 2, 3, 4]
    assert list(found["gradients_norm/head"]) == [1, 3, 4]


def test_head_that_is_trained_alone_is_one_layer(dataset: Dataset, events: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        features = model.features(images(dataset))
        expected = float(model.head(features).mean())
    TensorBoardLog(events).update(make_run(model.head), features, NO_SAMPLES)
    assert read(events)["activation_mean/head"][1] == pytest.approx(expected, rel=1e-5)


def test_gradients_that_are_not_finite_stop_nothing(dataset: Dataset, events: Path) -> None:
    network = Two()
    network.head.weight.grad = torch.full_like(network.head.weight, torch.inf)
    TensorBoardLog(events).update(make_run(network), images(dataset), NO_SAMPLES)
    found = read(events)
    assert found["gradients_norm/head"] == {1: np.inf}
    assert "gradients/head" not in found


def test_missing_tensorboard_is_reported_with_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(UserError, match=r"runtime\.tensorboard .* extra tensorboard"):
        TensorBoardLog(tmp_path)
