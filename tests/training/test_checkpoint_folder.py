import os
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier.training import checkpoint
from classifier.training.checkpoint import CheckpointFolder

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


def test_damaged_states_do_not_stand_in_the_way_of_new_ones(own_cache: Path) -> None:
    states = CheckpointFolder("run")
    for step in (1, 2):
        states.save(5, step, STATE)
    for path in (own_cache / "resume/run").glob("*.state"):
        path.write_bytes(b"damaged")
    assert states.load() is None
    states.save(1, 1, STATE)
    assert states.load() is not None


def test_another_run_that_clears_the_folder_does_not_stop_a_save(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = CheckpointFolder("run")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: CheckpointFolder("run").clear())
        states.save(1, 1, {"step": 1})
    assert not list(own_cache.rglob("*.state"))
    states.save(1, 2, {"step": 2})
    assert states.load() == {"step": 2}


def test_another_run_that_clears_the_folder_does_not_stop_a_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    CheckpointFolder("run").save(1, 1, STATE)
    # It is listed and has gone when it is read.
    monkeypatch.setattr(checkpoint, "read_checked", lambda _: CheckpointFolder("run").clear())
    assert CheckpointFolder("run").load() is None
