"""Run a program: exit status, one sentence instead of a traceback, a clean end on SIGTERM."""

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

from classifier.core.errors import StoppedError, UserError, describe_os_error
from classifier.core.parent_watch import when_orphaned
from classifier.core.text import escape_name

_OUTPUT = 1  # the descriptor of standard output
_AGAIN = 3.0  # seconds until a program that goes on after SIGTERM is interrupted again
_STOPPED = "error: stopped by SIGTERM; run the same command again."
_GRACE = 10.0  # seconds that a program has to clean up after DVC has ended


def run_program(main: Callable[[], None], *, ends_with_parent: bool = False) -> NoReturn:
    """Call `main` and end the process: status 0, or 1 and a sentence on standard error.

    Only a `UserError`, an `OSError`, Ctrl-C and SIGTERM become a sentence; any other error is a
    bug and keeps its traceback. Control characters in a sentence are escaped, and so is, on
    standard output, what the encoding of the locale does not have.

    A stage stops, as on SIGTERM, when the DVC that runs it is killed, so that the next `dvc repro`
    does not run beside it. ends_with_parent: so does this program, whatever has started it.
    """
    if ends_with_parent or "DVC_STAGE" in os.environ:  # which DVC sets for what it runs
        when_orphaned(_end_this_process)
    _replace_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _sigterm_raises():
            main()
        print(end="", flush=True)
    except UserError as error:
        sys.exit(f"error: {escape_name(str(error))}")
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(128 + signal.SIGPIPE)
        sys.exit(f"error: {escape_name(describe_os_error(error))}")
    except KeyboardInterrupt:
        sys.exit("error: stopped by the keyboard; run the same command again.")
    sys.exit(0)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Leave it to the system to free the memory of a program that ends with status 0 inside.

    Python would first take the objects of PyTorch apart, which takes about 0.4 s. What libraries
    have registered for the end is called; threads that go on are waited for, as usual.
    """
    try:
        yield
    except SystemExit as end:
        others = {*threading.enumerate()} - {threading.main_thread()}
        if end.code != 0 or not all(thread.daemon for thread in others):
            raise
        atexit._run_exitfuncs()
        # Unlike the methods of the two, print takes those that are None, since they were closed.
        print(end="", flush=True)
        print(end="", file=sys.stderr, flush=True)
        os._exit(0)


def _replace_closed_streams() -> None:
    """Let the standard streams that were closed for this program lead nowhere, as `/dev/null` does.

    The next file that is opened would get the descriptor of such a stream, and with it what a
    library in C prints. Libraries in Python, such as tqdm, do not expect a stream that is None.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115
            os.set_inheritable(stream.fileno(), True)  # as a standard stream is
            setattr(sys, name, stream)


def worker_count() -> int:
    """Return the number of workers: OMP_NUM_THREADS, or one for each core of this process."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return available_cores()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise SystemExit inside, so that `finally` clauses clean up."""
    can_repeat = hasattr(signal, "setitimer")  # not on Windows
    is_over = has_come = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal has_come
        if is_over:
            return
        has_come = True
        # An exception raised during garbage collection is lost, so it is raised again.
        if can_repeat:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        sys.exit(_STOPPED)

    numbers = [*([signal.SIGALRM] if can_repeat else []), signal.SIGTERM]
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    except StoppedError:
        raise
    except Exception:
        # A library may catch SystemExit, such as in an import, and raise an error of its own.
        if has_come:
            sys.exit(_STOPPED)
        raise
    finally:
        is_over = True
        if can_repeat:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _nobody_reads() -> bool:
    """Return whether the reader of standard output, such as `head`, has ended before us."""
    poll = select.poll()
    poll.register(_OUTPUT, 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    # Python writes what is left when it ends, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), _OUTPUT)
    return True


def _end_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)
