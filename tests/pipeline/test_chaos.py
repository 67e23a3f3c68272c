"""`dvc repro` killed at random moments, without its stage, and started twice."""

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from builders.clones import ROOT, Clone

# Without the run-cache, which remembers what another test has trained.
TRAIN = (sys.executable, "-m", "dvc", "repro", "--single-item", "--no-run-cache", "train")


@pytest.mark.xdist_group("origin")
def test_killed_pipeline_ends_in_the_files_of_an_undisturbed_one(origin: Clone) -> None:
    # The whole of it, 20 kills, is run by hand.
    chaos = [str(ROOT / "benchmarks/chaos.py"), "--kills=3", f"--finished={origin.folder}"]
    said = origin.run(sys.executable, *chaos)
    assert "3 kills" in said
    assert "files are the same" in said


def start_training(
    origin: Clone, folder: Path, *, shell: str = "/bin/sh"
) -> tuple[Clone, "subprocess.Popen[str]"]:
    """A copy in which `dvc repro`, called from this shell, has begun to train, for some seconds."""
    clone = replace(origin.copied(folder), variables={"SHELL": shell})
    clone.set_params(epochs="12")
    process = clone.start(*TRAIN)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   1"):
            return clone, process
    raise AssertionError(process.communicate())


@pytest.mark.xdist_group("origin")
def test_second_repro_is_refused_and_the_first_goes_on(origin: Clone, tmp_path: Path) -> None:
    clone, first = start_training(origin, tmp_path / "project")
    second = clone.start(*TRAIN)
    _, said = second.communicate()
    assert second.returncode != 0
    assert "is busy, it is being blocked by:" in said
    assert f"(PID {first.pid})" in said
    first.communicate()
    assert first.returncode == 0
    assert "Running stage" not in clone.dvc("repro", "--single-item", "train")


@pytest.mark.xdist_group("origin")
@pytest.mark.parametrize("shell", ["bash", "dash"])  # the second stays between DVC and the stage
def test_stage_whose_dvc_is_killed_ends_and_the_next_repro_goes_on(
    origin: Clone, tmp_path: Path, shell: str
) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell}")
    clone, process = start_training(origin, tmp_path / "project", shell=path)
    *_, stage = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 15
    while stage.is_running() and stage.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert process.stderr is not None
    assert "run the same command again to go on" in process.stderr.read()
    assert "Going on at epoch" in clone.run(*TRAIN)
