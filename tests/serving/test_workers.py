import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from builders.bad.hostile_model import load_hostile
from builders.colours import CLASSES, image_of, write_models

from classifier.inference.predict import Model, load_model
from classifier.serving.limits import Limits
from classifier.serving.workers.image_worker import Outcome, Task
from classifier.serving.workers.memory_budget import MemoryBudget
from classifier.serving.workers.pool import BusyError, WorkerPool
from classifier.serving.workers.process import WorkerFaultError, WorkerLostError, WorkerProcess
from classifier.serving.workers.thread import WorkerThread


class Gated(Model):
    """Decodes only while its gate is open, and notes how many images the model gets at once."""

    gate: threading.Event
    sizes: list[int]

    def read(self, content, max_pixels=None, admit=None):
        assert self.gate.wait(60)
        if content == b"fault":
            raise RuntimeError("a fault of ours")
        return super().read(content, max_pixels, admit)

    def answers(self, images):
        self.sizes.append(len(images))
        return super().answers(images)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Gated]:
    gated = Gated(**vars(load_model(write_models(tmp_path), threads=1)))
    object.__setattr__(gated, "gate", threading.Event())
    object.__setattr__(gated, "sizes", [])
    yield gated
    gated.gate.set()


def run(
    model: Model, test: Callable[[WorkerPool], Awaitable[None]], *, workers: int = 1, **options: Any
) -> None:
    """Run a test with a pool of threads, and close the pool."""

    async def whole() -> None:
        limits = Limits(max_waiting=options.pop("capacity", 8))
        start = partial(WorkerThread.start, lambda: model, limits)
        pool = WorkerPool(start, workers, limits, MemoryBudget(limits.max_decoded), **options)
        await pool.start()
        await test(pool)
        await pool.close()

    asyncio.run(whole())


def tasks(*contents: bytes) -> list[Task]:
    return [Task(content, 5) for content in contents]


async def label(future: "asyncio.Future[Any]") -> str:
    outcome = await asyncio.wait_for(future, 60)
    assert outcome.content is not None
    return outcome.content["label"]


async def wait_until_taken(pool: WorkerPool, left: int = 0) -> None:
    while pool.waiting > left:
        await asyncio.sleep(0.001)


def test_each_future_gets_the_answer_of_its_image(model: Gated) -> None:
    async def test(pool: WorkerPool) -> None:
        model.gate.set()
        futures = pool.submit(tasks(*(image_of(colour) for colour in CLASSES)))
        assert [await label(future) for future in futures] == CLASSES

    run(model, test, workers=3, batch_size=2)


def test_full_queue_refuses_all_or_nothing(model: Gated) -> None:
    async def test(pool: WorkerPool) -> None:
        pool.submit(tasks(image_of("red")))
        await wait_until_taken(pool)
        (waiting,) = pool.submit(tasks(image_of("red")))
        assert pool.has_room
        with pytest.raises(BusyError) as caught:
            pool.submit(tasks(*[image_of("red")] * 2))
        assert caught.value.retry_after >= 1
        assert pool.waiting == 1
        model.gate.set()
        assert await label(waiting) == "red"

    run(model, test, capacity=2)


def test_many_images_of_one_request_delay_no_other_for_long(model: Gated) -> None:
    async def test(pool: WorkerPool) -> None:
        many = pool.submit(tasks(*[image_of("red")] * 5))
        await wait_until_taken(pool, left=4)
        (single,) = pool.submit(tasks(image_of("blue")))
        model.gate.set()
        assert await label(single) == "blue"
        assert not all(future.done() for future in many)

    run(model, test)


def test_closing_answers_what_was_accepted_and_takes_no_more(model: Gated) -> None:
    async def test(pool: WorkerPool) -> None:
        futures = pool.submit(tasks(*[image_of("blue")] * 3))
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            pool.submit(tasks(image_of("blue")))
        model.gate.set()
        await closing
        assert [await label(future) for future in futures] == ["blue"] * 3

    run(model, test)


def test_bad_image_and_fault_reach_who_waits_and_the_worker_lives_on(model: Gated) -> None:
    async def test(pool: WorkerPool) -> None:
        model.gate.set()
        bad, fault, good = pool.submit(tasks(b"no image", b"fault", image_of("green")))
        assert "no image in a known format" in (await bad).error
        with pytest.raises(RuntimeError, match="a fault of ours"):
            await fault
        assert await label(good) == "green"

    run(model, test)


def test_image_that_nobody_waits_for_is_not_computed(model: Gated) -> None:
    async def test(pool: WorkerPool) -> None:
        pool.submit(tasks(image_of("red")))
        await wait_until_taken(pool)
        given_up, wanted = pool.submit(tasks(*[image_of("red")] * 2))
        assert given_up.cancel()
        model.gate.set()
        assert await label(wanted) == "red"
        assert sum(model.sizes) == 2

    run(model, test)


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1, 1, 1, 1, 1]), (4, [1, 4])])
def test_waiting_images_share_a_call_where_that_is_allowed(
    model: Gated, batch_size: int, sizes: list[int]
) -> None:
    async def test(pool: WorkerPool) -> None:
        first = pool.submit(tasks(image_of("red")))
        await wait_until_taken(pool)
        rest = pool.submit(tasks(*[image_of("red")] * 4))
        model.gate.set()
        for future in first + rest:
            await label(future)
        assert model.sizes == sizes

    run(model, test, batch_size=batch_size)


def test_process_that_hangs_or_breaks_down_costs_its_own_image_alone(tmp_path: Path) -> None:
    folder = write_models(tmp_path)
    limits = Limits(decode_seconds=3, max_decoded=150 << 20)

    async def whole() -> None:
        start = partial(WorkerProcess.start, partial(load_hostile, folder), limits)
        budget = MemoryBudget(limits.max_decoded)
        pool = WorkerPool(start, 2, limits, budget, batch_size=4)
        await pool.start()
        red, large = image_of("red"), b"large"
        contents = [red, b"slow", red, b"crash", red, large, large, large, b"no image", red]
        outcomes = await asyncio.wait_for(asyncio.gather(*pool.submit(tasks(*contents))), 60)
        answers = [outcome.content and outcome.content["label"] for outcome in outcomes]
        assert answers == ["red", None, "red", None, "red", "blue", "blue", "blue", None, "red"]
        assert "more than 3 seconds, the limit" in outcomes[1].error
        assert "decoder broke down" in outcomes[3].error
        (fault,) = pool.submit(tasks(b"fault"))
        with pytest.raises(WorkerFaultError, match="a fault of ours"):
            await fault
        assert (await pool.submit_heat_map(red, 0)).startswith(b"\x89PNG")
        with pytest.raises(ValueError, match="3 classes, from 0 on"):
            await pool.submit_heat_map(red, 7)
        assert budget.used == 0
        await pool.close()

    asyncio.run(whole())


def test_images_that_are_late_are_told(model: Gated) -> None:
    async def test(pool: WorkerPool) -> None:
        assert pool.delay == 0
        pool.submit(tasks(image_of("red")))
        await wait_until_taken(pool)
        await asyncio.sleep(0.05)
        assert pool.delay >= 0.05
        model.gate.set()

    run(model, test)


def test_worker_that_cannot_be_started_is_an_error_of_the_start(tmp_path: Path) -> None:
    start = WorkerProcess.start(partial(load_model, tmp_path / "nothing"), Limits())
    with pytest.raises(WorkerLostError):
        asyncio.run(start)


class SpyWorker:
    """Answers when it is told to, has decoded at once, and notes what it was sent."""

    def __init__(self, sent: list[int]) -> None:
        self.sent, self.go_on = sent, asyncio.Event()

    def answer(self, tasks: Sequence[Task], grant: Any, decoded_all: Callable[[], None]) -> Any:
        self.sent.append(len(tasks))

        async def reply() -> list[Outcome]:
            decoded_all()
            await self.go_on.wait()
            return [Outcome({"label": "red"})] * len(tasks)

        return reply

    def heat_map(self, content: bytes, index: int | None, grant: Any) -> Any:
        raise AssertionError

    def kill(self) -> None:
        self.go_on.set()

    async def wait(self) -> None:
        return


def test_images_are_sent_ahead_once_every_worker_has_some() -> None:
    async def whole() -> None:
        sent: list[list[int]] = [[], []]
        workers = [SpyWorker(calls) for calls in sent]
        starting = iter(workers)

        async def start() -> SpyWorker:
            return next(starting)

        pool = WorkerPool(start, 2, Limits(), MemoryBudget(1))
        await pool.start()
        futures = []
        for expected in ([1, 0], [1, 1], [2, 1], [2, 2], [2, 2]):
            futures += pool.submit(tasks(b"an image"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert sorted(map(len, sent)) == sorted(expected)
        for worker in workers:
            worker.go_on.set()
        assert [await label(future) for future in futures] == ["red"] * 5
        await pool.close()

    asyncio.run(whole())
