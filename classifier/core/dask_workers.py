"""Run tasks on a Dask cluster (`dask.distributed`, extra `cluster`) over a shared file system.

Scheduler and workers are started by hand in copies of this project, see docs/scale.md.
"""

import logging
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from classifier.core.code import PACKAGES, code_digest
from classifier.core.errors import UserError
from classifier.core.executors import SCHEDULER_VARIABLE, Argument, Result, ended_again
from classifier.core.files import write_bytes
from classifier.core.versions import LIBRARIES, installed_versions

if TYPE_CHECKING:
    from distributed import Client, Future

# Seconds until a scheduler has to answer, or a worker has to be there.
PATIENCE = 30
_LOOK = 5  # seconds between two looks whether there are still workers


class SharedFile(NamedTuple):
    """A file that all machines have to see, as this one sees it."""

    path: str
    size: int
    changed: int


class Release(NamedTuple):
    """What must be the same on all machines for their results to be.

    Attributes:
        module: That of the function which the tasks call.
        code: The digest of all code that it needs.
        versions: Name and installed version of each library.
        files: Files that a worker has to see.
    """

    module: str
    code: str
    versions: tuple[tuple[str, str | None], ...]
    files: tuple[SharedFile, ...]


@contextmanager
def open_dask(address: str, shared: Sequence[Path]) -> Iterator["DaskWorkers"]:
    """Yield an executor on the cluster whose scheduler has this address; see `open_executor`.

    Raises:
        UserError: A package is missing, no scheduler answers, or it has no workers.
    """
    distributed = _import_distributed()
    with ExitStack() as stack:
        files = [_file_to_find(path, stack) for path in shared]
        stack.enter_context(_quiet())
        try:
            client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UserError(
                f"no Dask scheduler answers at {address} ({reason}): start it, correct "
                f"{SCHEDULER_VARIABLE}, or unset it to use the cores of this machine."
            ) from None
        stack.callback(client.close, timeout=_LOOK)
        _wait_for_workers(client, address)
        yield DaskWorkers(client, address, tuple(files))


class DaskWorkers:
    """Calls functions on a Dask cluster; see `executors.Executor`."""

    def __init__(self, client: "Client", address: str, files: tuple[SharedFile, ...]) -> None:
        threads: Any = client.nthreads()  # by the address of the worker
        self.workers = sum(threads.values())
        self._client, self._address, self._files = client, address, files

    def map(
        self,
        function: Callable[[Argument], Result],
        arguments: Iterable[Argument],
        name: Callable[[Argument], str] = str,
    ) -> Iterator[Result]:
        """Yield the results in the order of the arguments; see `executors.Executor`."""
        release = _this_release(function.__module__, self._files)
        tasks = list(arguments)
        try:
            futures = [
                self._client.submit(_call, release, function, task, pure=False) for task in tasks
            ]
            for place, task in enumerate(tasks):
                yield self._result(futures[place], name(task))
                futures[place].release()
        except _lost_errors() as error:
            raise self._is_gone(error) from None

    def _result(self, future: "Future[Any]", task: str) -> Any:
        from distributed import KilledWorker  # noqa: PLC0415

        try:
            while True:
                try:
                    return future.result(timeout=_LOOK)
                except TimeoutError:
                    if future.done():  # it is the task's own
                        raise
                    _wait_for_workers(self._client, self._address)
        except KilledWorker:
            raise UserError(ended_again(task)) from None
        except ModuleNotFoundError as error:
            raise UserError(
                f"a Dask worker cannot import this project ({error}): start scheduler and workers "
                "in a copy of it, with `python -m distributed.cli.dask_worker`."
            ) from None
        except RuntimeError as error:
            if "deserialization of the task graph" not in str(error):
                raise
            raise UserError(
                f"the Dask scheduler at {self._address} cannot import this project: start it in "
                "a copy of it, with `python -m distributed.cli.dask_scheduler`."
            ) from None

    def _is_gone(self, error: BaseException) -> UserError:
        # Dask's own message has several lines.
        reason = str(error).partition("\n")[0] or type(error).__name__
        return UserError(
            f"the Dask scheduler at {self._address} is gone ({reason}): start it and run the same "
            f"command again, which goes on with what is done; or unset {SCHEDULER_VARIABLE} to "
            "use the cores of this machine."
        )


def _call(release: Release, function: Callable[[Argument], Result], argument: Argument) -> Result:
    """Run one task in a worker, after a check that it can give the right result."""
    check_release(release)
    return function(argument)


def check_release(release: Release) -> None:
    """Compare this machine with the one that has made `release`.

    Raises:
        UserError: The code, a library or a file is not the same.
    """
    here = f"the Dask worker on {os.uname().nodename} (process {os.getpid()})"
    mine = _this_release(release.module, ())
    if mine.code != release.code:
        raise UserError(
            f"{here} has another version of this project: check out the same commit there, and "
            "start the worker again."
        )
    for (library, needed), (_, found) in zip(release.versions, mine.versions, strict=True):
        if needed != found:
            raise UserError(
                f"{here} has {library} {found or '(none)'}, and {needed or 'none'} is needed: "
                "install requirements.lock there, and start the worker again."
            )
    for file in release.files:
        if _describe(Path(file.path)) != file:
            raise UserError(
                f"{here} does not see {file.path} as this machine does: put the project and "
                "CLASSIFIER_CACHE on a file system that all machines share, under the same path."
            )


def _this_release(module: str, files: tuple[SharedFile, ...]) -> Release:
    # What follows a plus sign is how a library was built, such as for a GPU.
    versions = {
        name: found and found.partition("+")[0]
        for name, found in installed_versions(*LIBRARIES).items()
    }
    # A function of another library is of the version of that library.
    ours = [module] if module.partition(".")[0] in PACKAGES else []
    return Release(module, code_digest(__name__, *ours), tuple(versions.items()), files)


def _file_to_find(path: Path, stack: ExitStack) -> SharedFile:
    """Return a file by which a worker proves that it sees `path`: itself, or a new one in it."""
    if path.is_dir():
        path = path / f".shared-{uuid.uuid4().hex}"
        write_bytes(path, b"Whether all machines see this folder.\n")
        stack.callback(path.unlink, missing_ok=True)
    found = _describe(path)
    assert found is not None
    return found


def _describe(path: Path) -> SharedFile | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return SharedFile(str(path), status.st_size, status.st_mtime_ns)


def _wait_for_workers(client: "Client", address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise UserError(
            f"the Dask scheduler at {address} has no workers: start some with `python -m "
            f"distributed.cli.dask_worker {address}`, and run the same command again; or unset "
            f"{SCHEDULER_VARIABLE} to use the cores of this machine."
        ) from None


def _import_distributed() -> Any:
    try:
        import distributed  # noqa: PLC0415
    except ImportError:
        raise UserError(
            f"{SCHEDULER_VARIABLE} is set, which needs one more package: `pip install "
            f"distributed`, or unset {SCHEDULER_VARIABLE}."
        ) from None
    return distributed


def _lost_errors() -> tuple[type[BaseException], ...]:
    """Return what Dask raises where the connection to the scheduler is lost."""
    from asyncio import CancelledError  # noqa: PLC0415
    from concurrent.futures import CancelledError as CancelledFuture  # noqa: PLC0415

    from distributed.comm.core import CommClosedError  # noqa: PLC0415

    return CancelledError, CancelledFuture, CommClosedError


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave it to our sentences to say what is wrong with the cluster."""
    # Each of Dask's loggers has a level of its own.
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
