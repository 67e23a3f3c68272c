"""Queue images, with a limit, and share them out among workers that decode and infer.

A worker answers an image, or several that wait where the model is faster on batches; none ever
waits for more to arrive. A worker that takes too long to decode, or breaks down, is replaced; the
other images of its batch are tried again, each alone, so that the one at fault is known.

pebble.ProcessPool, a kept library, was measured first. It ends a process by SIGTERM, which a
decoder in C does not hear, and so takes 4 s more than a deadline of 1 s; its threads cost the
server twice the processor time of such a pool; and it has no place for the budget of memory.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from classifier.core.errors import UserError
from classifier.serving.image_worker import Outcome, Task
from classifier.serving.limits import Limits
from classifier.serving.memory_budget import MemoryBudget
from classifier.serving.worker_process import AsyncGrant, WorkerLostError

_log = logging.getLogger(__name__)
# Weight of the last image in the running mean of seconds per image.
_NEWEST = 0.1
_RESTART_PAUSE = 1.0  # seconds, where a worker cannot be started
_HEAT_MAP_CALLS = 65  # of the model, for one heat map


class Worker(Protocol):
    """What both kinds of workers can do, see `WorkerProcess`."""

    async def answer(self, tasks: Sequence[Task], grant: AsyncGrant) -> list[Outcome]:
        """Return the outcomes for images."""
        ...

    async def heat_map(self, content: bytes, index: int | None, grant: AsyncGrant) -> bytes:
        """Return a PNG."""
        ...

    def kill(self) -> None:
        """End it at once, where that is possible."""

    async def wait(self) -> None:
        """Wait for the end of a worker that was killed."""


class BusyError(Exception):
    """The queue is full.

    retry_after: Seconds until there should be room, at least 1.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(eq=False)
class _Job:
    """An image that waits. heat_map: whether a map of class `index` is wanted, not an answer."""

    task: Task
    future: "asyncio.Future[Any]"
    heat_map: bool = False
    index: int | None = None
    alone: bool = False
    arrived: float = field(default_factory=time.perf_counter)

    @property
    def is_single(self) -> bool:
        """Whether no other image shares a call with it."""
        return self.alone or self.heat_map


class WorkerPool:
    """Images that wait, and the workers that answer them from `start` to `close`."""

    def __init__(
        self,
        start_worker: Callable[[], Awaitable[Worker]],
        workers: int,
        limits: Limits,
        budget: MemoryBudget,
        *,
        batch_size: int = 1,
        call_seconds: float = 0.0,
    ) -> None:
        """Make the pool without starting its workers.

        Args:
            start_worker: Starts a worker with a model of its own.
            workers: Their number.
            limits: Of images that may wait and of seconds that an image may take.
            budget: Of memory, which several pools may share.
            batch_size: Images that a worker may take at once.
            call_seconds: What a call of the model takes at most, which `limits` does not know.
        """
        self._start_worker, self._size = start_worker, workers
        self._limits, self._budget = limits, budget
        self._batch_size, self._call_seconds = batch_size, call_seconds
        # By request, and taken from each in turn: many images of one delay no other for long.
        self._requests: deque[deque[_Job]] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._seconds = 0.0  # running mean of an image's
        # When each worker began what it does; None while it waits for an image.
        self._since: list[float | None] = [None] * workers
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the workers; raise WorkerLostError where one ends before it is ready."""
        starting = (self._start_worker() for _ in range(self._size))
        self._workers = list(await asyncio.gather(*starting))
        self._tasks = [asyncio.create_task(self._work(place)) for place in range(self._size)]

    async def close(self) -> None:
        """Answer the accepted images, then end the workers; if cancelled, end them at once."""
        self._closed = True
        self._arrived.set()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            self.abort()

    def abort(self) -> None:
        """End the workers at once, whatever they do."""
        for worker in self._workers:
            worker.kill()

    @property
    def waiting(self) -> int:
        """Number of images that no worker has taken yet."""
        return sum(len(jobs) for jobs in self._requests)

    @property
    def has_room(self) -> bool:
        """Whether an image would be accepted now."""
        return not self._closed and self.waiting < self._limits.max_waiting

    @property
    def delay(self) -> float:
        """Seconds by which images are late: the first one that waits, or all that are under way."""
        now = time.perf_counter()
        first = now - min((jobs[0].arrived for jobs in self._requests), default=now)
        under_way = [0.0 if since is None else now - since for since in self._since]
        return max(first, min(under_way))

    def submit(self, tasks: Sequence[Task]) -> "list[asyncio.Future[Outcome]]":
        """Queue images, all or none, and return a future for each outcome.

        Raises:
            BusyError: There is no room for all.
        """
        return self._submit([_Job(task, self._future()) for task in tasks])

    def submit_heat_map(self, content: bytes, index: int | None) -> "asyncio.Future[bytes]":
        """Queue an image for a heat map; the future raises UserError where there can be none.

        Raises:
            BusyError: There is no room.
        """
        job = _Job(Task(content, 1), self._future(), heat_map=True, index=index)
        return self._submit([job])[0]

    def _submit(self, jobs: list[_Job]) -> "list[asyncio.Future[Any]]":
        if self._closed or self.waiting + len(jobs) > self._limits.max_waiting:
            seconds = self.waiting * self._seconds / self._size
            raise BusyError(max(1, math.ceil(seconds)))
        self._requests.append(deque(jobs))
        self._arrived.set()
        return [job.future for job in jobs]

    def _future(self) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().create_future()

    async def _work(self, place: int) -> None:
        while jobs := await self._take():
            self._since[place] = time.perf_counter()
            worker = self._workers[place]
            lost = await self._answer(worker, jobs)
            if lost is not None:
                worker.kill()
                self._settle(jobs, lost)
                await worker.wait()
                self._workers[place] = await self._replacement()
            self._since[place] = None
        self._workers[place].kill()
        await self._workers[place].wait()

    async def _take(self) -> list[_Job]:
        """Take the next images, a fair share of those that wait; none after `close`."""
        while not self._requests:
            if self._closed:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        count = min(self._batch_size, math.ceil(self.waiting / self._size))
        jobs: list[_Job] = []
        while self._requests and len(jobs) < count:
            if jobs and (jobs[0].is_single or self._requests[0][0].is_single):
                break
            request = self._requests.popleft()
            jobs.append(request.popleft())
            if request:
                self._requests.append(request)
        # Requests that timed out have cancelled their futures.
        return [job for job in jobs if not job.future.cancelled()] or await self._take()

    async def _answer(self, worker: Worker, jobs: list[_Job]) -> str | None:
        """Answer images; return what is wrong with the worker, None where nothing is."""
        taken, granted = time.perf_counter(), 0
        calls = _HEAT_MAP_CALLS if jobs[0].heat_map else 1
        seconds = self._limits.decode_seconds + calls * self._call_seconds

        async def grant(needed: int) -> None:
            """Wait for memory, in place of what the image before had; no deadline runs."""
            nonlocal granted
            self._budget.give_back(granted)
            granted = 0
            deadline.reschedule(None)
            await self._budget.take(needed)
            granted = needed
            deadline.reschedule(asyncio.get_running_loop().time() + seconds)

        try:
            async with asyncio.timeout(seconds) as deadline:
                if jobs[0].heat_map:
                    _settle_one(jobs[0], await _outcome_of(worker, jobs[0], grant))
                    return None
                outcomes = await worker.answer([job.task for job in jobs], grant)
        except TimeoutError:
            return (
                f"decoding it takes more than {self._limits.decode_seconds:g} seconds, the limit."
            )
        except WorkerLostError:
            return "its decoder broke down; it is damaged, or made to do harm."
        # Pass any error to the caller; keep the worker.
        except Exception as error:
            for job in jobs:
                _settle_one(job, error)
            return None
        finally:
            self._budget.give_back(granted)
        for job, outcome in zip(jobs, outcomes, strict=True):
            _settle_one(job, outcome._replace(waiting=taken - job.arrived))
        spent = (time.perf_counter() - taken) / len(jobs)
        self._seconds += _NEWEST * (spent - self._seconds)
        return None

    def _settle(self, jobs: list[_Job], reason: str) -> None:
        """Blame the image of a lost worker; of several, let each be tried again alone."""
        if len(jobs) == 1:
            job = jobs[0]
            _settle_one(job, UserError(reason) if job.heat_map else Outcome(None, reason))
            return
        for job in jobs:
            job.alone = True
        self._requests.extendleft(deque([job]) for job in reversed(jobs))
        self._arrived.set()

    async def _replacement(self) -> Worker:
        while True:
            try:
                return await self._start_worker()
            except (WorkerLostError, OSError):
                _log.exception("a worker cannot be started; it is tried again")
                await asyncio.sleep(_RESTART_PAUSE)


async def _outcome_of(worker: Worker, job: _Job, grant: AsyncGrant) -> bytes | UserError:
    try:
        return await worker.heat_map(job.task.content, job.index, grant)
    except UserError as error:
        return error


def _settle_one(job: _Job, outcome: Any) -> None:
    if job.future.cancelled():
        return
    if isinstance(outcome, Exception):
        job.future.set_exception(outcome)
    else:
        job.future.set_result(outcome)
