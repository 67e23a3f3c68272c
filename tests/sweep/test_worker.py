"""A trial that was killed and goes on reports all of its epochs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
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


# Start a worker, and write its process id when its trial is under way.
_SWEEP = """
import subprocess, sys, time
from pathlib import Path
worker = [sys.executable, "-m", "classifier.sweep.worker", "journal", "1", "0"]
process = subprocess.Popen(worker, start_new_session=True)
while not Path("results/train/history.csv").exists():
    time.sleep(0.1)
print(process.pid, flush=True)
process.wait()
"""


def test_worker_ends_when_its_sweep_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path, tiny_section(epochs=1_000_000))
    (tmp_path / "sweep.yaml").write_text("train.seed: {low: 0, high: 9}\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = [sys.executable, "-c", _SWEEP]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as sweep:
        assert sweep.stdout is not None
        worker = psutil.Process(int(sweep.stdout.readline()))
        sweep.kill()
    try:
        worker.wait(timeout=60)
    finally:
        if worker.is_running():
            worker.kill()
