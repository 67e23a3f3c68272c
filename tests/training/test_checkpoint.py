import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import tiny_batches, tiny_fit, tiny_params, weights_of, write_split
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.training.batches import Batch
from classifier.training.loop import Batches
from classifier.training.params import TrainParams

CPU = torch.device("cpu")
Result = tuple[bytes, list[dict[str, float]], int]


class KilledError(Exception):
    """Ends a run, as a kill would."""


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path / "split")


class Small(nn.Module):
    """All that a state has to hold, in little: weights, batch norm's statistics, dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(36, 3),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images.float().permute(0, 3, 1, 2) / 255)


class Watched:
    """`batches` that note where an epoch is entered, and call `interrupt` before one batch."""

    def __init__(
        self, batches: Batches, place: tuple[int, int], interrupt: Callable[[], None]
    ) -> None:
        self._batches, self._place, self._interrupt = batches, place, interrupt
        self.entered: list[tuple[int, int]] = []

    def training_order(self, epoch: int) -> list[np.ndarray]:
        return self._batches.training_order(epoch)

    def training_batches(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        self.entered.append((epoch, first))
        for number, batch in enumerate(self._batches.training_batches(epoch, first), first):
            if (epoch, number) == self._place:
                self._interrupt()
            yield batch

    def validation_batches(self) -> Iterator[Batch]:
        return self._batches.validation_batches()


def kill() -> None:
    raise KilledError


# Minutes between two states: one after every step, or only those after an epoch.
EVERY_STEP, EVERY_EPOCH = 1e-9, 5.0


def train(
    dataset: Dataset,
    params: TrainParams,
    *,
    killed_at: tuple[int, int] = (0, 0),
    interrupt: Callable[[], None] = kill,
    after_epoch: Callable[[list[dict[str, float]]], None] = lambda history: None,
    checkpoint_minutes: float = EVERY_STEP,
) -> tuple[Result, list[tuple[int, int]]]:
    """The result of a run (weights, history, best epoch), and where it entered its epochs."""
    network = Small()
    batches = Watched(tiny_batches(dataset, params), killed_at, interrupt)
    progress = tiny_fit(
        network,
        batches,
        params,
        after_epoch=after_epoch,
        checkpoint_minutes=checkpoint_minutes,
    )
    return (weights_of(network), progress.history, progress.best_epoch), batches.entered


def uninterrupted_run(folder: Path, params: TrainParams, **options: Any) -> Result:
    """The result of a run with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSIFIER_CACHE", str(folder / "cache"))
        return train(write_split(folder / "split"), params, **options)[0]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What `tiny_params()` lead to, however often a run's state is saved."""
    folder = tmp_path_factory.mktemp("run")
    return uninterrupted_run(folder, tiny_params(), checkpoint_minutes=EVERY_EPOCH)


@pytest.mark.parametrize("place", [(1, 0), (1, 3), (2, 0), (3, 4)])
def test_run_killed_within_an_epoch_goes_on_there_to_the_same_bytes(
    dataset: Dataset, uninterrupted: Result, place: tuple[int, int]
) -> None:
    params = tiny_params()
    with pytest.raises(KilledError):
        train(dataset, params, killed_at=place)
    resumed, entered = train(dataset, params)
    assert entered[0] == place
    assert resumed == uninterrupted


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": {"name": "sgd"}}, {"optimizer": {"name": "adam"}}, {"ema_decay": 0.9}],
)
def test_momentum_of_every_optimiser_and_the_average_of_the_weights_survive(
    tmp_path: Path, dataset: Dataset, changes: dict[str, Any]
) -> None:
    params = tiny_params(**changes)
    expected = uninterrupted_run(tmp_path / "other", params)
    with pytest.raises(KilledError):
        train(dataset, params, killed_at=(2, 2))
    resumed, entered = train(dataset, params)
    assert entered[0] == (2, 2)
    assert resumed == expected


@pytest.mark.parametrize("epochs_done", [1, 2, 3])
def test_run_killed_after_an_epoch_goes_on_with_the_next_to_the_same_bytes(
    dataset: Dataset, uninterrupted: Result, epochs_done: int
) -> None:
    def kill_after(history: list[dict[str, float]]) -> None:
        if len(history) == epochs_done:
            raise KilledError

    params = tiny_params()
    with pytest.raises(KilledError):
        train(dataset, params, checkpoint_minutes=EVERY_EPOCH, after_epoch=kill_after)
    resumed, entered = train(dataset, params, checkpoint_minutes=EVERY_EPOCH)
    assert entered == [(epoch, 0) for epoch in range(epochs_done + 1, 4)]
    assert resumed == uninterrupted


def test_run_killed_again_and_again_ends_in_the_same_bytes(
    dataset: Dataset, uninterrupted: Result
) -> None:
    params = tiny_params()
    for place in ((1, 1), (1, 2), (2, 3)):
        with pytest.raises(KilledError):
            train(dataset, params, killed_at=place)
    assert train(dataset, params)[0] == uninterrupted


def test_between_checkpoints_an_epoch_is_begun_again(
    dataset: Dataset, uninterrupted: Result
) -> None:
    params = tiny_params()
    with pytest.raises(KilledError):
        train(dataset, params, checkpoint_minutes=EVERY_EPOCH, killed_at=(2, 3))
    resumed, entered = train(dataset, params, checkpoint_minutes=EVERY_EPOCH)
    assert entered[0] == (2, 0)
    assert resumed == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_is_asked_to_stop_saves_its_state_and_says_how_to_go_on(
    dataset: Dataset, uninterrupted: Result, number: signal.Signals
) -> None:
    params = tiny_params()
    with pytest.raises(UserError, match=r"Stopped in epoch 2 after step 3; .*run .* again"):
        train(
            dataset,
            params,
            checkpoint_minutes=EVERY_EPOCH,
            killed_at=(2, 2),
            interrupt=lambda: os.kill(os.getpid(), number),
        )
    resumed, entered = train(dataset, params, checkpoint_minutes=EVERY_EPOCH)
    assert entered[0] == (2, 3)
    assert resumed == uninterrupted


def test_patience_counts_on_over_a_kill(tmp_path: Path, dataset: Dataset) -> None:
    still = {"name": "sgd", "lr": 1e-30, "momentum": 0.0, "weight_decay": 0.0}
    params = tiny_params(epochs=9, patience=2, monitor="val_accuracy", optimizer=still)
    expected = uninterrupted_run(tmp_path / "other", params)
    with pytest.raises(KilledError):
        train(dataset, params, killed_at=(2, 2))
    resumed, _ = train(dataset, params)
    assert len(resumed[1]) < 9
    assert resumed == expected


def test_damaged_state_is_passed_over_for_the_one_before(
    dataset: Dataset, uninterrupted: Result, own_cache: Path
) -> None:
    params = tiny_params()
    with pytest.raises(KilledError):
        train(dataset, params, killed_at=(2, 3))
    newest = max((own_cache / "resume/run").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    resumed, entered = train(dataset, params)
    assert entered[0] == (2, 2)
    assert resumed == uninterrupted
