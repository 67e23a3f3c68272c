"""Run the tasks of one step in processes on all cores, or on a Dask cluster, in a fixed order.

Tasks are calls of one function of a module. Results come in the order of the tasks, so that they
do not depend on the number of workers.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from classifier.core.errors import UserError
from classifier.core.processes import worker_count

SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"
# Number of times that a task is tried which ends the process that runs it.
ATTEMPTS = 3
# Tasks that wait for each worker, so that none is idle; more would keep more results in memory.
_AHEAD = 4
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Executor(Protocol):
    """Calls a function for many arguments.

    Attributes:
        workers: Number of tasks that run at the same time, 1 or more.
    """

    workers: int

    def map(
        self,
        function: Callable[[Argument], Result],
        arguments: Iterable[Argument],
        name: Callable[[Argument], str] = str,
    ) -> Iterator[Result]:
        """Yield the result of each call, in the order of the arguments.

        Args:
            function: A function of a module, since other processes have to find it by its name.
                It is called again where its process ends, so that it has to write by rename.
            arguments: What other processes can get: no open files, absolute paths.
            name: Says for messages what the task of an argument is, such as `decode images-07`.

        Raises:
            UserError: A task ends each process that runs it, or the cluster cannot be used. What a
                task raises reaches the caller, too.
        """
        ...


@contextmanager
def open_executor(
    tasks: int, *, workers: int | None = None, shared: Sequence[Path] = ()
) -> Iterator[Executor]:
    """Yield an executor; all its processes have ended when the context does.

    It is the Dask cluster that the environment variable DASK_SCHEDULER_ADDRESS names; otherwise
    processes of this machine, one for each core. A single task, or one core, needs no other
    process than this one.

    Args:
        tasks: Number of tasks; no more processes than these are started.
        workers: Number of processes on this machine. None: one for each core, see `worker_count`.
        shared: Absolute paths of files and folders that all machines of a cluster have to see.

    Raises:
        UserError: The cluster cannot be used.
    """
    address = os.environ.get(SCHEDULER_VARIABLE)
    if address and tasks > 1:
        from classifier.core.dask_workers import open_dask  # noqa: PLC0415 - of an extra

        with open_dask(address, shared) as cluster:
            yield cluster
        return
    count = min(tasks, workers or worker_count())
    if count <= 1:
        yield _ThisProcess()
        return
    processes = _LocalProcesses(count)
    try:
        yield processes
    except BaseException:
        processes.kill()
        raise
    processes.close()


class _ThisProcess:
    workers = 1

    def map(
        self,
        function: Callable[[Argument], Result],
        arguments: Iterable[Argument],
        name: Callable[[Argument], str] = str,  # noqa: ARG002
    ) -> Iterator[Result]:
        return map(function, arguments)


class _Pool(NamedTuple):
    """Processes that end when `lifeline` is closed, as it is when this process is killed."""

    executor: ProcessPoolExecutor
    lifeline: Connection


class _LocalProcesses:
    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = _start_pool(workers)

    def map(
        self,
        function: Callable[[Argument], Result],
        arguments: Iterable[Argument],
        name: Callable[[Argument], str] = str,
    ) -> Iterator[Result]:
        running: deque[tuple[Argument, Future[Result]]] = deque()
        waiting = iter(arguments)
        is_over = False
        while running or not is_over:
            while not is_over and len(running) < _AHEAD * self.workers:
                try:
                    argument = next(waiting)
                except StopIteration:
                    is_over = True
                else:
                    running.append((argument, self._submit(function, argument)))
            if not running:
                return
            argument, future = running[0]
            if not _has_lost_its_process(future):
                running.popleft()
                yield future.result()
                continue
            # All tasks that were running are lost, and any may be the reason.
            self._restart()
            while running:
                argument, future = running.popleft()
                if _has_lost_its_process(future):
                    yield self._run_alone(function, argument, name)
                else:
                    yield future.result()

    def close(self) -> None:
        self._pool.executor.shutdown()
        self._pool.lifeline.close()

    def kill(self) -> None:
        self._pool.lifeline.close()
        self._pool.executor.shutdown(cancel_futures=True)

    def _restart(self) -> None:
        self.kill()
        self._pool = _start_pool(self.workers)

    def _submit(self, function: Callable[[Argument], Result], argument: Argument) -> Future[Result]:
        try:
            return self._pool.executor.submit(function, argument)
        except BrokenProcessPool as error:
            lost: Future[Result] = Future()
            lost.set_exception(error)
            return lost

    def _run_alone(
        self,
        function: Callable[[Argument], Result],
        argument: Argument,
        name: Callable[[Argument], str],
    ) -> Result:
        """Run a task while no other one runs, so that it alone can end its process."""
        for _ in range(ATTEMPTS):
            future = self._submit(function, argument)
            if not _has_lost_its_process(future):
                return future.result()
            self._restart()
        raise UserError(ended_again(name(argument)))


def ended_again(task: str) -> str:
    """Return the sentence about a task that ends each process that runs it."""
    return (
        f"{task}: the process that did it ended before it was done, {ATTEMPTS} times, as happens "
        "where memory is short: free some memory, or set the environment variable OMP_NUM_THREADS "
        "to a smaller number of processes, and run the same command again."
    )


def _start_pool(workers: int) -> _Pool:
    """Start processes that share no state with this one.

    `spawn`: a copy of this process (`fork`) may hang where a thread held a lock. It takes about a
    second of processor time for each process, which imports what its tasks need.
    """
    context = multiprocessing.get_context("spawn")
    reader, lifeline = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(workers, context, _begin_worker, (reader,))
    return _Pool(executor, lifeline)


def _begin_worker(lifeline: Connection) -> None:
    """Prepare a new process: it ends with the one that started it, and computes in one thread."""
    import signal  # noqa: PLC0415

    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - not in a container that serves

    # Ctrl-C reaches every process of a terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    for name in _THREADS:  # for libraries that are imported later
        os.environ[name] = "1"
    threadpool_limits(1)  # for those that are imported already


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _has_lost_its_process(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)
