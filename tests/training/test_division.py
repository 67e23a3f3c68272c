"""A run that went on with batches divided otherwise says so, however often it was killed."""

import json
from pathlib import Path

import pytest
import torch
from builders.tiny import tiny_section, write_project

import stages.train
from classifier.training.state import TrainState


def train(folder: Path, micro_batches: int, patch: pytest.MonkeyPatch, *, killed: bool) -> None:
    """Train in this process; where it is killed, after the next state that it saves."""
    section = tiny_section(epochs=3, grad_accumulation_steps=micro_batches)
    write_project(folder, section, {"checkpoint_minutes": 1e-9})
    torch.set_num_threads(1)
    with patch.context() as inside:
        inside.chdir(folder)
        if not killed:
            stages.train.main()
            return
        save = TrainState.save

        def kill(state: TrainState) -> None:
            save(state)
            raise SystemExit

        inside.setattr(TrainState, "save", kill)
        with pytest.raises(SystemExit):
            stages.train.main()


def divisions(folder: Path) -> object:
    return json.loads((folder / "models/model.json").read_bytes())["divisions"]


def test_every_division_of_a_run_is_remembered_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, 1, monkeypatch, killed=True)
    train(tmp_path, 2, monkeypatch, killed=True)
    capsys.readouterr()
    train(tmp_path, 1, monkeypatch, killed=False)
    said = capsys.readouterr().out
    assert "not always divided alike" in said
    assert "[1, 1, 1], then [1, 2, 1]" in said
    assert divisions(tmp_path) == [[1, 1, 1], [1, 2, 1]]


def test_run_that_goes_on_as_it_began_has_nothing_to_remember(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, 2, monkeypatch, killed=True)
    train(tmp_path, 2, monkeypatch, killed=False)
    said = capsys.readouterr().out
    assert "Going on at epoch 1" in said
    assert "divided" not in said
    assert divisions(tmp_path) is None
