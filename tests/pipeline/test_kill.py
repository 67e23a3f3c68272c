"""The train stage is killed as a power cut would, and goes on as if nothing had been."""

import random
import signal
import time
from pathlib import Path

import pytest
from builders.tiny import contents, tiny_section, write_project
from builders.train_process import saved_states, start_train, wait_for_new_state

# A state after every step, so that a kill can hit the middle of an epoch and of a write.
OFTEN = {"checkpoint_minutes": 1e-9}
TRAIN = tiny_section(
    epochs=4,
    grad_accumulation_steps=2,
    ema_decay=0.9,
    model={"head": {"dropout": 0.3}},
    optimizer={"name": "muon"},
    lr_scheduler={"name": "plateau"},
    mix={"mixup": 0.2},
)


def run_until_new_state(project: Path, number: signal.Signals, delay: float) -> tuple[int, str]:
    """Send the signal `delay` seconds after the next state; exit status and standard error."""
    before = saved_states()
    process = start_train(project)
    wait_for_new_state(process, before)
    time.sleep(delay)
    process.send_signal(number)
    _, said = process.communicate()
    return process.returncode, said


def finish(project: Path) -> str:
    process = start_train(project)
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, bytes]:
    project = tmp_path / "undisturbed"
    write_project(project, TRAIN, OFTEN)
    finish(project)
    return contents(project, without="timing.json")


def test_killed_and_stopped_runs_end_in_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, bytes]
):
    project = tmp_path / "disturbed"
    write_project(project, TRAIN, OFTEN)
    moments = random.Random(0)
    for _ in range(2):
        status, _ = run_until_new_state(project, signal.SIGKILL, moments.uniform(0, 0.1))
        assert status == -signal.SIGKILL
    status, said = run_until_new_state(project, signal.SIGINT, 0)
    assert status == 1
    assert said.count("\n") == 1
    assert "run the same command again to go on" in said
    assert finish(project).startswith("Going on at epoch")
    assert contents(project, without="timing.json") == undisturbed
    assert saved_states() == []
