import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.library import copy_library, edit, edited
from builders.tiny import tiny_batches, tiny_fit, tiny_params, weights_of, write_split
from torch import Tensor, nn

from classifier.core import code
from classifier.core.code import import_closure
from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.training.batches import Batch
from classifier.training.checkpoint import TRAINING, CheckpointFolder, run_key
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


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_momentum_of_every_optimiser_survives(
    tmp_path: Path, dataset: Dataset, optimizer: str
) -> None:
    params = tiny_params(optimizer={"name": optimizer})
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


STATE: dict[str, Any] = {"weight": torch.tensor([1.5]), "row": [{"a": 1}], "text": "b"}


def test_newest_state_comes_back_as_it_was(own_cache: Path) -> None:
    states = CheckpointFolder("run")
    states.save(9, 7, {"old": 1})
    states.save(10, 0, STATE)
    loaded = CheckpointFolder("run").load()
    assert loaded is not None
    assert torch.equal(loaded.pop("weight"), STATE["weight"])
    assert loaded == {"row": [{"a": 1}], "text": "b"}
    assert [path.parent for path in own_cache.rglob("*.state")] == [own_cache / "resume/run"] * 2


def test_no_more_than_two_states_are_kept(own_cache: Path) -> None:
    states = CheckpointFolder("run")
    for step in range(5):
        states.save(1, step, {"step": step})
    assert len(list((own_cache / "resume/run").iterdir())) == 2
    assert states.load() == {"step": 4}


@pytest.mark.parametrize("damage", [b"", b"short", bytes(5000)])
def test_state_whose_bytes_are_not_what_was_written_is_not_used(
    own_cache: Path, damage: bytes
) -> None:
    states = CheckpointFolder("run")
    states.save(1, 1, {"step": 1})
    next(own_cache.rglob("*.state")).write_bytes(damage)
    assert states.load() is None


def test_state_of_another_run_is_not_used() -> None:
    CheckpointFolder("other").save(1, 1, STATE)
    assert CheckpointFolder("run").load() is None


def test_cleared_states_leave_nothing(own_cache: Path) -> None:
    CheckpointFolder("other").save(1, 1, STATE)
    states = CheckpointFolder("run")
    states.save(1, 1, STATE)
    states.clear()
    assert states.load() is None
    assert [path.name for path in (own_cache / "resume").iterdir()] == ["other"]


WEIGHTS = {"layer.weight": torch.ones(2)}


def test_key_repeats_itself_and_needs_no_states(tmp_path: Path, dataset: Dataset) -> None:
    key = run_key({"a": 1, "b": {"c": 2.5}}, tmp_path / "split", WEIGHTS, CPU)
    assert key == run_key({"b": {"c": 2.5}, "a": 1}, tmp_path / "split", WEIGHTS, CPU)
    CheckpointFolder(key).clear()


def test_key_changes_with_params_weights_data_and_code(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, library = tmp_path / "split", copy_library(tmp_path / "copy")
    monkeypatch.setattr(code, "ROOT", library)
    keys = [run_key({"lr": rate}, folder, WEIGHTS, CPU) for rate in (0.1, 0.2)]
    keys.append(run_key({"lr": 0.1}, folder, {"layer.weight": torch.zeros(2)}, CPU))
    edit(library / "classifier/data/augment.py")
    keys.append(run_key({"lr": 0.1}, folder, WEIGHTS, CPU))
    (folder / "classes.json").write_text("[]")
    keys.append(run_key({"lr": 0.1}, folder, WEIGHTS, CPU))
    assert len(set(keys)) == 5


def test_key_changes_with_every_file_that_training_imports_and_with_no_other(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = copy_library(tmp_path / "copy")
    monkeypatch.setattr(code, "ROOT", library)

    def key() -> str:
        return run_key({"lr": 0.1}, tmp_path / "split", WEIGHTS, CPU)

    closure = import_closure(TRAINING)
    assert {"classifier/training/loop.py", "classifier/core/random.py"} <= {*closure}
    before = key()
    for name in closure:
        with edited(library / name):
            assert key() != before, name
    for name in ("serving/app.py", "commands/predict.py", "evaluation/compare.py"):
        with edited(library / "classifier" / name):
            assert key() == before, name


def test_key_stays_where_batches_are_divided_otherwise(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = run_key({"lr": 0.1, "grad_accumulation_steps": 1}, tmp_path / "split", WEIGHTS, CPU)
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    assert key == run_key(
        {"lr": 0.1, "grad_accumulation_steps": 2}, tmp_path / "split", WEIGHTS, CPU
    )


def test_damaged_states_do_not_stand_in_the_way_of_new_ones(own_cache: Path) -> None:
    states = CheckpointFolder("run")
    for step in (1, 2):
        states.save(5, step, STATE)
    for path in (own_cache / "resume/run").glob("*.state"):
        path.write_bytes(b"damaged")
    assert states.load() is None
    states.save(1, 1, STATE)
    assert states.load() is not None
