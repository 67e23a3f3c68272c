"""What tests ask of processes that are not their children, and the rights of their own."""

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def no_root() -> Iterator[None]:
    """Let modes of files count for root, too, in this thread, so that 0 keeps it out."""
    if os.geteuid() != 0:
        yield
        return
    library = ctypes.CDLL(None)
    # Version 3 of the kernel's interface, and this thread.
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before = (ctypes.c_uint32 * 6)()
    assert library.capget(header, before) == 0
    fewer = (ctypes.c_uint32 * 6)(*before)
    fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of those in effect
    assert library.capset(header, fewer) == 0
    try:
        yield
    finally:
        library.capset(header, before)
