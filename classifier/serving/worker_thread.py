"""A worker as a thread of the server, for a container with little memory.

It cannot be killed: an image keeps it busy until it is decoded, however long that takes.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from classifier.inference.predict import Model
from classifier.serving.image_worker import ImageWorker, Outcome, Task
from classifier.serving.limits import Limits
from classifier.serving.worker_process import AsyncGrant


class WorkerThread:
    """A thread that answers one call at a time, as `WorkerProcess` does."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._worker = ImageWorker(model, limits)
        self._pool = ThreadPoolExecutor(1, "worker")

    @classmethod
    async def start(cls, build: Callable[[], Model], limits: Limits) -> "WorkerThread":
        """Return the worker once it has its model."""
        return cls(await asyncio.to_thread(build), limits)

    async def answer(self, tasks: Sequence[Task], grant: AsyncGrant) -> list[Outcome]:
        """Return the outcomes for images."""
        return await self._call(self._worker.answer, tasks, _from_thread(grant))

    async def heat_map(self, content: bytes, index: int | None, grant: AsyncGrant) -> bytes:
        """Return a PNG; raise as `ImageWorker.heat_map` does."""
        return await self._call(self._worker.heat_map, content, index, _from_thread(grant))

    def kill(self) -> None:
        """Take no more calls."""
        self._pool.shutdown(wait=False)

    async def wait(self) -> None:
        """Wait until the current call has ended."""
        await asyncio.to_thread(self._pool.shutdown)

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *arguments))


def _from_thread(grant: AsyncGrant) -> Callable[[int], None]:
    loop = asyncio.get_running_loop()

    async def wait(needed: int) -> None:
        await grant(needed)

    return lambda needed: asyncio.run_coroutine_threadsafe(wait(needed), loop).result()
