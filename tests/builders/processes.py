"""What tests ask of processes that are not their children."""

import time

import psutil


def has_ended(process: psutil.Process) -> bool:
    """Whether the process is gone, or only waits for its parent to notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for_end(process: psutil.Process, seconds: float) -> None:
    """Return when the process has ended; AssertionError where it takes longer than that."""
    deadline = time.monotonic() + seconds
    while not has_ended(process):
        assert time.monotonic() < deadline, f"{process} runs on"
        time.sleep(0.1)
