"""Notice the end of the parent process, so that no work goes on without it."""

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_PAUSE = 0.5  # seconds between two checks


def when_orphaned(do: Callable[[], None]) -> None:
    """Call `do`, in a thread, when the process that started this one has ended.

    A shell in between that runs one command (`sh -c`) does not count as the parent: dash stays
    while the command runs, and would outlive the DVC that called it.
    """
    starters = _starters()

    def watch() -> None:
        while _starters() == starters:
            time.sleep(_PAUSE)
        do()

    threading.Thread(target=watch, daemon=True).start()


def _starters() -> list[int]:
    """Return the ids of the parent process and, while that is a `sh -c`, of those above it."""
    import psutil  # noqa: PLC0415 - a server in a container watches nobody, and has no psutil

    above = [os.getppid()]
    try:
        while _runs_one_command(shell := psutil.Process(above[-1])):
            above.append(shell.ppid())
    except psutil.Error:  # it has ended, or belongs to another user
        return above
    return above


def _runs_one_command(process: "psutil.Process") -> bool:
    return process.name().endswith("sh") and "-c" in process.cmdline()
