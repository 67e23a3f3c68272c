"""Send images to a worker and wait for it, within the memory and the time that they may take."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from classifier.serving.limits import Limits
from classifier.serving.workers.image_worker import Task
from classifier.serving.workers.memory_budget import MemoryBudget
from classifier.serving.workers.process import AsyncGrant, Reply, WorkerLostError

_HEAT_MAP_CALLS = 65  # of the model, for one heat map


class Worker(Protocol):
    """What both kinds of workers can do, see `WorkerProcess`."""

    def answer(
        self, tasks: Sequence[Task], grant: AsyncGrant, decoded_all: Callable[[], None]
    ) -> Reply:
        """Send images; the reply is their outcomes."""
        ...

    def heat_map(self, content: bytes, index: int | None, grant: AsyncGrant) -> Reply:
        """Send an image; the reply is a PNG."""
        ...

    def kill(self) -> None:
        """End it at once, where that is possible."""

    async def wait(self) -> None:
        """Wait for the end of a worker that was killed."""


@dataclass(eq=False)
class Job:
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


def settle(job: Job, outcome: Any) -> None:
    """Give an image's outcome to whoever waits for it; an error is raised there."""
    if job.future.cancelled():
        return
    if isinstance(outcome, Exception):
        job.future.set_exception(outcome)
    else:
        job.future.set_result(outcome)


class Call:
    """Images on their way to a worker and back, with the memory and the time that they may take."""

    def __init__(
        self, jobs: list[Job], limits: Limits, budget: MemoryBudget, call_seconds: float
    ) -> None:
        self.jobs = jobs
        self._budget, self._limits = budget, limits
        calls = _HEAT_MAP_CALLS if jobs[0].heat_map else 1
        self._seconds = limits.decode_seconds + calls * call_seconds
        self._granted, self._sent = 0, time.perf_counter()
        self._deadline: asyncio.Timeout | None = None

    def send(self, worker: Worker, decoded_all: Callable[[], None]) -> Reply:
        """Send the images; return what waits for the outcomes."""
        job = self.jobs[0]
        if job.heat_map:
            return worker.heat_map(job.task.content, job.index, self._grant)
        return worker.answer([job.task for job in self.jobs], self._grant, decoded_all)

    async def receive(self, reply: Reply) -> str | None:
        """Settle the images; return what is wrong with the worker instead, None for nothing."""
        try:
            async with asyncio.timeout(self._seconds) as self._deadline:
                result = await reply()
        except TimeoutError:
            limit = self._limits.decode_seconds
            return f"decoding it takes more than {limit:g} seconds, the limit."
        except WorkerLostError:
            return "its decoder broke down; it is damaged, or made to do harm."
        # Pass any error to the caller; keep the worker.
        except Exception as error:
            for job in self.jobs:
                settle(job, error)
            return None
        finally:
            self._budget.give_back(self._granted)
        if self.jobs[0].heat_map:
            settle(self.jobs[0], result)
            return None
        for job, outcome in zip(self.jobs, result, strict=True):
            settle(job, outcome._replace(waiting=self._sent - job.arrived))
        return None

    async def _grant(self, needed: int) -> None:
        """Wait for memory, in place of what the image before had; no deadline runs meanwhile."""
        assert self._deadline is not None
        self._budget.give_back(self._granted)
        self._granted = 0
        self._deadline.reschedule(None)
        await self._budget.take(needed)
        self._granted = needed
        self._deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
