"""`dvc repro` killed at random moments, without its stage, and started twice."""

import shutil
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from builders.clones import ROOT, Clone
from builders.processes import wait_for_end

# Without the run-cache, which remembers what another test has trained.
TRAIN = (sys.executable, "-m", "dvc", "repro", "--single-item", "--no-run-cache", "train")


@pytest.mark.xdist_group("origin")
def test_killed_pipeline_ends_in_the_files_of_an_undisturbed_one(origin: Clone) -> None:
    # The whole of it, 20 kills, is run by hand.
    chaos = [str(ROOT / "benchmarks/chaos.py"), "--kills=3", f"--finished={origin.folder}"]
    said = origin.run(sys.executable, *chaos)
    assert "3 kills" in said
    assert "files are the same" in said


@pytest.fixture(scope="module")
def copy(origin: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which tests train anew, each with another number of epochs."""
    return origin.copied(tmp_path_factory.mktemp("chaos") / "project")


def start_training(
    copy: Clone, epochs: int, shell: str = "/bin/sh"
) -> tuple[Clone, "subprocess.Popen[str]"]:
    """`dvc repro`, called from this shell, which has begun to train, for some seconds."""
    clone = replace(copy, variables={"SHELL": shell})
    clone.set_params(epochs=str(epochs))
    process = clone.start(*TRAIN)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   1"):
            return clone, process
    raise AssertionError(process.communicate())


@pytest.mark.xdist_group("origin")
def test_second_repro_is_refused_and_the_first_goes_on(copy: Clone) -> None:
    clone, first = start_training(copy, 12)
    second = clone.start(*TRAIN)
    _, said = second.communicate()
    assert second.returncode != 0
    assert "is busy, it is being blocked by:" in said
    assert f"(PID {first.pid})" in said
    first.communicate()
    assert first.returncode == 0
    assert "Running stage" not in clone.dvc("repro", "--single-item", "train")


@pytest.mark.xdist_group("origin")
# The second stays between DVC and the stage.
@pytest.mark.parametrize(("shell", "epochs"), [("bash", 13), ("dash", 14)])
def test_stage_whose_dvc_is_killed_ends_and_the_next_repro_goes_on(
    copy: Clone, shell: str, epochs: int
) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell}")
    clone, process = start_training(copy, epochs, path)
    *_, stage = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    wait_for_end(stage, 15)
    assert process.stderr is not None
    assert "run the same command again to go on" in process.stderr.read()
    assert "Going on at epoch" in clone.run(*TRAIN)
