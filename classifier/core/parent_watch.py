"""Notice that the process which started this one has ended, so that no work goes on unwatched."""

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_PAUSE = 0.5  # seconds between two looks


def when_orphaned(do: Callable[[], None]) -> None:
    """Call `do`, in a thread, once the process that started this one is no more.

    A shell in between, which runs one command and waits for it, does not count as a starter: dash
    stays there where bash makes way, and would outlive the DVC that called it.
    """
    starters = _starters()

    def watch() -> None:
        while _starters() == starters:
            time.sleep(_PAUSE)
        do()

    threading.Thread(target=watch, daemon=True).start()


def _starters() -> list[int]:
    """The process above this one and, as long as that is a shell with one command, those above."""
    import psutil  # noqa: PLC0415 - a server in a container watches nobody, and has no psutil

    above = [os.getppid()]
    try:
        while _runs_one_command(shell := psutil.Process(above[-1])):
            above.append(shell.ppid())
    except psutil.Error:  # ended between two looks, or not ours to look at
        return above
    return above


def _runs_one_command(process: "psutil.Process") -> bool:
    return process.name().endswith("sh") and "-c" in process.cmdline()
