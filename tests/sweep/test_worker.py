"""A trial that was killed and goes on reports all of its epochs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from builders.tiny import tiny_section, write_project

from classifier.sweep import worker
from classifier.sweep.study import Sweep, open_study
from classifier.training.state import TrainState


def test_epochs_of_a_resumed_trial_are_counted_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path, tiny_section(epochs=4)))
    torch.set_num_threads(1)
    study = open_study(tmp_path / "journal", "val_loss")
    finish_epoch = TrainState.save

    def kill_after_two_epochs(state: Any) -> None:
        finish_epoch(state)
        if len(state.progress.history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "save", kill_after_two_epochs)
        with pytest.raises(KeyboardInterrupt):
            worker.run_trial(study.ask(), "val_loss", torch.device("cpu"))
    trial = study.ask()
    value = worker.run_trial(trial, "val_loss", torch.device("cpu"))
    trial.set_user_attr("experiment", "sweep-1")
    study.tell(trial, value)
    (row,) = Sweep(study, {"sweep-1"}).tabulate().to_dict("records")
    assert row["epochs"] == 4
