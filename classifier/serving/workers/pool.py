"""Queue images, with a limit, and share them out among workers that decode and infer.

A worker answers an image, or several that wait where the model is faster on batches; none ever
waits for more to arrive. While it runs the model, it is sent what it decodes next, so that it does
not wait for the server; while it decodes, it is sent nothing that a hostile image could hold up.
A worker that takes too long to decode, or breaks down, is replaced; the other images of its batch
are tried again, each alone, so that the one at fault is known.

Why not `pebble.ProcessPool`: it ends a process by SIGTERM, which a decoder in C does not hear, so
that a deadline of 1 s takes 4 s more; its threads take twice the processor time of this pool; and
it has no place for the budget of memory.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from classifier.core.errors import UserError
from classifier.serving.limits import Limits
from classifier.serving.workers.call import Call, Job, Worker, settle
from classifier.serving.workers.image_worker import Outcome, Task
from classifier.serving.workers.memory_budget import MemoryBudget
from classifier.serving.workers.process import Reply, WorkerLostError

_log = logging.getLogger(__name__)
# Weight of the last image in the running mean of seconds per image.
_NEWEST = 0.1
_RESTART_PAUSE = 1.0  # seconds, where a worker cannot be started


class BusyError(Exception):
    """The queue is full.

    retry_after: Seconds until there should be room, at least 1.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


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
        self._limits, self._budget, self._call_seconds = limits, budget, call_seconds
        self._batch_size = batch_size
        # By request, and taken from each in turn: many images of one delay no other for long.
        self._requests: deque[deque[Job]] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._seconds = 0.0  # running mean of an image's
        # When each worker began what it does; None while it waits for an image.
        self._since: list[float | None] = [None] * workers
        # Of each worker: calls that are not answered, at most two; whether the first has decoded.
        self._calls, self._decoded = [0] * workers, [False] * workers
        self._turns = [asyncio.Lock() for _ in range(workers)]
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the workers; raise WorkerLostError where one ends before it is ready."""
        starting = (self._start_worker() for _ in range(self._size))
        self._workers = list(await asyncio.gather(*starting))
        # Two for each: one waits for a reply, the other one sends the next call.
        places = [place for place in range(self._size) for _ in range(2)]
        self._tasks = [asyncio.create_task(self._work(place)) for place in places]

    async def close(self) -> None:
        """Answer the accepted images, then end the workers; if cancelled, end them at once."""
        self._closed = True
        self._arrived.set()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            self.abort()
        for worker in self._workers:
            await worker.wait()

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
        return self._submit([Job(task, self._future()) for task in tasks])

    def submit_heat_map(self, content: bytes, index: int | None) -> "asyncio.Future[bytes]":
        """Queue an image for a heat map; the future raises UserError where there can be none.

        Raises:
            BusyError: There is no room.
        """
        job = Job(Task(content, 1), self._future(), heat_map=True, index=index)
        return self._submit([job])[0]

    def _submit(self, jobs: list[Job]) -> "list[asyncio.Future[Any]]":
        if self._closed or self.waiting + len(jobs) > self._limits.max_waiting:
            seconds = self.waiting * self._seconds / self._size
            raise BusyError(max(1, math.ceil(seconds)))
        self._requests.append(deque(jobs))
        self._arrived.set()
        return [job.future for job in jobs]

    def _future(self) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().create_future()

    async def _work(self, place: int) -> None:
        while jobs := await self._take(place):
            worker = self._workers[place]
            call = Call(jobs, self._limits, self._budget, self._call_seconds)
            reply = call.send(worker, partial(self._set_decoded, place))
            async with self._turns[place]:
                if worker is self._workers[place]:
                    await self._finish(place, worker, call, reply)
                else:
                    # Lost before its turn, which is no fault of these images.
                    self._requests.append(deque(jobs))
                self._calls[place] -= 1
                self._decoded[place] = False
                self._arrived.set()

    async def _finish(self, place: int, worker: Worker, call: Call, reply: Reply) -> None:
        """Wait for a reply, and replace a worker that is lost."""
        self._since[place] = begun = time.perf_counter()
        lost = await call.receive(reply)
        if lost is None:
            spent = (time.perf_counter() - begun) / len(call.jobs)
            self._seconds += _NEWEST * (spent - self._seconds)
        else:
            worker.kill()
            self._blame(call.jobs, lost)
            await worker.wait()
            self._workers[place] = await self._replacement()
        self._since[place] = None

    def _set_decoded(self, place: int) -> None:
        self._decoded[place] = True
        self._arrived.set()

    async def _take(self, place: int) -> list[Job]:
        """Take the next images, a fair share of those that wait; none after `close`."""
        while True:
            if self._requests and self._accepts(place) and (jobs := self._next_jobs()):
                self._calls[place] += 1
                self._arrived.set()
                return jobs
            if self._closed and not self._requests and not any(self._calls):
                return []
            self._arrived.clear()
            await self._arrived.wait()

    def _accepts(self, place: int) -> bool:
        """Return whether a worker should be sent images: it has none, or nobody else is without."""
        if self._calls[place] == 0:
            return True
        return self._calls[place] == 1 and self._decoded[place] and min(self._calls) > 0

    def _next_jobs(self) -> list[Job]:
        count = min(self._batch_size, math.ceil(self.waiting / self._size))
        jobs: list[Job] = []
        while self._requests and len(jobs) < count:
            if jobs and (jobs[0].is_single or self._requests[0][0].is_single):
                break
            request = self._requests.popleft()
            job = request.popleft()
            if request:
                self._requests.append(request)
            # Requests that timed out have cancelled their futures.
            if not job.future.cancelled():
                jobs.append(job)
        return jobs

    def _blame(self, jobs: list[Job], reason: str) -> None:
        """Blame the image of a lost worker; of several, let each be tried again alone."""
        if len(jobs) == 1:
            job = jobs[0]
            settle(job, UserError(reason) if job.heat_map else Outcome(None, reason))
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
