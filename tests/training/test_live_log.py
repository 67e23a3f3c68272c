import json
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.tiny import (
    contents,
)
from dvclive.live import Live

from classifier.training.loggers import LiveLog
from classifier.training.state import HistoryRow

HISTORY: list[HistoryRow] = [
    {"epoch": epoch, "lr": 0.1 / epoch, "val_loss": 2 / epoch, "val_accuracy": 1 - 1 / epoch}
    for epoch in range(1, 6)
]
CPU = torch.device("cpu")
SAMPLES = np.full((2, 4, 6, 3), 200, dtype=np.uint8)


def test_live_files_hold_the_last_row_and_the_history_of_each_column(tmp_path: Path) -> None:
    log = LiveLog(tmp_path)
    for epochs in (1, 2, 3):
        log.update(HISTORY[:epochs])
        found = contents(tmp_path)
        assert list(found) == [
            "metrics.json",
            "plots/metrics/live_lr.tsv",
            "plots/metrics/live_val_accuracy.tsv",
            "plots/metrics/live_val_loss.tsv",
        ]
        lines = found["plots/metrics/live_val_loss.tsv"].decode().splitlines()
        rows = [f"{epoch}\t{round(2 / epoch, 8)}" for epoch in range(1, epochs + 1)]
        assert lines == ["step\tlive_val_loss", *rows]
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "live_lr": 0.03333333,
        "live_val_loss": 0.66666667,
        "live_val_accuracy": 0.66666667,
        "step": 3,
    }


@pytest.mark.parametrize("done", [1, 4, 5])
def test_live_files_of_a_run_that_was_killed_and_resumed_are_those_of_a_whole_one(
    tmp_path: Path, done: int
) -> None:
    whole, killed = LiveLog(tmp_path / "whole"), LiveLog(tmp_path / "killed")
    for epochs in range(1, 6):
        whole.update(HISTORY[:epochs])
    for epochs in range(1, done + 1):
        killed.update(HISTORY[:epochs])
    with (tmp_path / "killed/plots/metrics/live_lr.tsv").open("a") as file:
        file.write("6\t0.0")
    resumed = LiveLog(tmp_path / "killed")
    for epochs in range(done, 6):
        resumed.update(HISTORY[:epochs])
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_live_log_is_silent_and_leaves_a_git_repository_and_the_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    git = contents(Path(".git"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("DVC_STUDIO_TOKEN", "secret")
        monkeypatch.setenv("DVC_STUDIO_REPO_URL", "git@example.org:a/b.git")
        monkeypatch.setenv("DVC_STUDIO_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        log = LiveLog(Path("results/live"))
        log.update(HISTORY[:1])
        log.update(HISTORY[:2])
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert capfd.readouterr() == ("", "")
    assert contents(Path(".git")) == git
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", "results"]


def test_live_log_tells_editors_of_each_epoch_through_dvcs_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    log = LiveLog(Path("live"))
    mark = tmp_path / ".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED"
    for epochs in (1, 2):
        log.update(HISTORY[:epochs])
        assert json.loads(mark.read_text())["step"] == epochs
    assert [path for path in (tmp_path / ".dvc").rglob("*") if path.is_file()] == [mark]


def test_dvclive_has_the_private_methods_that_are_switched_off() -> None:
    # Seen with DVCLive 3.49; a method of another name would no longer be switched off.
    for name in ("_init_dvc", "_init_studio", "post_data_to_studio"):
        assert callable(getattr(Live, name))
