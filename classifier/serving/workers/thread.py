"""A worker as a thread of the server, for a container with little memory.

It cannot be killed: an image keeps it busy until it is decoded, however long that takes.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from classifier.inference.predict import Model
from classifier.serving.limits import Limits
from classifier.serving.workers.image_worker import ImageWorker, Task
from classifier.serving.workers.process import AsyncGrant, Reply


class WorkerThread:
    """A thread that answers one call at a time, as `WorkerProcess` does."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._worker = ImageWorker(model, limits)
        self._pool = ThreadPoolExecutor(1, "worker")

    @classmethod
    async def start(cls, build: Callable[[], Model], limits: Limits) -> "WorkerThread":
        """Return the worker once it has its model."""
        return cls(await asyncio.to_thread(build), limits)

    def answer(
        self,
        tasks: Sequence[Task],
        grant: AsyncGrant,
        decoded_all: Callable[[], None],  # noqa: ARG002 (nothing is sent ahead to a thread)
    ) -> Reply:
        """Begin to answer images; the reply is their outcomes."""
        return self._call(self._worker.answer, tasks, _from_thread(grant), lambda: None)

    def heat_map(self, content: bytes, index: int | None, grant: AsyncGrant) -> Reply:
        """Begin a heat map; the reply is a PNG. It raises as `ImageWorker.heat_map` does."""
        return self._call(self._worker.heat_map, content, index, _from_thread(grant))

    def kill(self) -> None:
        """Take no more calls."""
        self._pool.shutdown(wait=False)

    async def wait(self) -> None:
        """Wait until the current call has ended."""
        await asyncio.to_thread(self._pool.shutdown)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Reply:
        loop = asyncio.get_running_loop()
        result = loop.run_in_executor(self._pool, partial(function, *arguments))

        async def reply() -> Any:
            return await result

        return reply


def _from_thread(grant: AsyncGrant) -> Callable[[int], None]:
    loop = asyncio.get_running_loop()

    async def wait(needed: int) -> None:
        await grant(needed)

    return lambda needed: asyncio.run_coroutine_threadsafe(wait(needed), loop).result()
