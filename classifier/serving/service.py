"""The model that answers now, and its replacement while requests go on."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from classifier.core.errors import UserError
from classifier.serving.answer_record import AnswerRecord
from classifier.serving.limits import Limits
from classifier.serving.metrics import ServingMetrics
from classifier.serving.served_model import ServedModel
from classifier.serving.workers.image_worker import Outcome, Task
from classifier.serving.workers.memory_budget import MemoryBudget
from classifier.serving.workers.pool import WorkerPool
from classifier.serving.workers.process import WorkerLostError, WorkerProcess
from classifier.serving.workers.thread import WorkerThread

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceOptions:
    """How models are served.

    Attributes:
        limits: What a request may bring.
        processes: Processes that decode images and run the model; 0 does it in threads.
        threads: Images that are answered at once without processes.
        api_key: Key that a request must have; None lets everybody in.
        allowed_hosts: Names under which the server may be addressed; empty for all.
        record: File to which answers are appended; None for none.
    """

    limits: Limits
    processes: int = 0
    threads: int = 1
    api_key: str | None = None
    allowed_hosts: Sequence[str] = ()
    record: Path | None = None


class Service:
    """Answers images with the current model, from `start` to `close`.

    Attributes:
        model: The current one.
        options: How it is served.
        metrics: Of all models together.
        record: Takes every answer; None where none are kept.
        stopping: Set when the server is about to end.
    """

    def __init__(
        self,
        model: ServedModel,
        options: ServiceOptions,
        reload: Callable[[], ServedModel] | None = None,
    ) -> None:
        """Keep the model without starting workers.

        Args:
            model: The first one.
            options: How it is served.
            reload: Loads and checks the model that replaces it; None where none can.
        """
        self.model, self.options = model, options
        self.metrics = ServingMetrics(model.version, lambda: self.waiting)
        self.record = None if options.record is None else AnswerRecord(options.record)
        self.stopping = asyncio.Event()
        self._reload = reload
        self._budget = MemoryBudget(options.limits.max_decoded)
        self._pool = self._new_pool(model)
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Start the workers."""
        await self._pool.start()

    async def close(self) -> None:
        """Answer the accepted images, then end the workers."""
        await self._pool.close()

    def abort(self) -> None:
        """End the workers at once."""
        self._pool.abort()

    @property
    def waiting(self) -> int:
        """Number of images that no worker has taken yet."""
        return self._pool.waiting

    @property
    def problem(self) -> str | None:
        """Why the server should get no requests now; None where it should."""
        if self.stopping.is_set():
            return "The server is stopping."
        if not self._pool.has_room:
            return "The queue is full."
        if self._pool.delay > self.options.limits.ready_seconds:
            return f"Images are late by {self._pool.delay:.0f} seconds."
        return None

    def submit(self, tasks: Sequence[Task]) -> "list[asyncio.Future[Outcome]]":
        """Queue images, see `WorkerPool.submit`."""
        return self._pool.submit(tasks)

    def submit_heat_map(self, content: bytes, index: int | None) -> "asyncio.Future[bytes]":
        """Queue an image for a heat map, see `WorkerPool.submit_heat_map`."""
        return self._pool.submit_heat_map(content, index)

    async def reload(self) -> None:
        """Replace the model by what its folder holds now; keep it where that cannot be trusted."""
        if self._reload is None:
            return
        async with self._reloading:
            try:
                model = await asyncio.to_thread(self._reload)
                pool = self._new_pool(model)
                await pool.start()
            except (UserError, OSError, WorkerLostError) as error:
                _log.error("the model is not replaced: %s", error)
                return
            except Exception:
                # A fault of ours must not be seen at the next signal only.
                _log.exception("the model is not replaced")
                return
            before, self._pool, self.model = self._pool, pool, model
            self.metrics.set_model(model.version)
            _log.warning("the model is replaced: %s", model.found)
            # What it has accepted is answered by it.
            await before.close()

    def _new_pool(self, model: ServedModel) -> WorkerPool:
        options = self.options
        kind = WorkerProcess if options.processes else WorkerThread
        return WorkerPool(
            partial(kind.start, model.build, options.limits),
            options.processes or options.threads,
            options.limits,
            self._budget,
            batch_size=model.batch_size,
            call_seconds=model.call_seconds,
        )
