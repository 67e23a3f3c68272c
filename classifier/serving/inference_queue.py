"""Threads that answer images as they arrive: a bounded queue before one shared model.

Each thread decodes an image and runs the model on it, with a runtime that uses no threads of its
own. Where the model takes less time for several images at once, a thread takes several of those
that wait; none waits for others to come.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.inference.onnx_runtime import Predictor
from classifier.inference.predict import Answer, Model

# Several images at once must take at most this share of the time that they take one by one.
_WORTH_IT = 0.8
_ROUNDS = 5
# How much the last image counts in the running mean of seconds an image.
_NEWEST = 0.1


class BusyError(Exception):
    """No room in the queue. retry_after: seconds until there should be some, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Judged(NamedTuple):
    """An answer, and the seconds that the image waited, was decoded, and shared the model."""

    answer: Answer
    waiting: float
    decoding: float
    inference: float


@dataclass(frozen=True)
class _Job:
    content: bytes
    future: "Future[Judged]" = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)


class Workers:
    """`threads` threads and what waits for them, at most `capacity` images.

    model: with one thread a call. batch_size: how many images a thread may take at once.
    They work from `start` to `close`.
    """

    def __init__(
        self, model: Model, *, threads: int, capacity: int, max_pixels: int, batch_size: int = 1
    ) -> None:
        self._model, self._capacity, self._max_pixels = model, capacity, max_pixels
        self._batch_size = batch_size
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds = 0.0  # running mean of an image's
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}")
            for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many images no thread has taken yet."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether an image would be taken now."""
        return not self._closed and self.waiting < self._capacity

    def submit(self, contents: Sequence[bytes]) -> "list[Future[Judged]]":
        """Have image files answered, all or none of them.

        Each future gives its answer or raises UserError where the image cannot be read.
        Raises BusyError where there is no room for all.
        """
        jobs = [_Job(content) for content in contents]
        with self._changed:
            if self._closed or len(self._waiting) + len(jobs) > self._capacity:
                seconds = len(self._waiting) * self._seconds / len(self._threads)
                raise BusyError(max(1, math.ceil(seconds)))
            self._waiting += jobs
            self._changed.notify(len(jobs))
        return [job.future for job in jobs]

    def close(self) -> None:
        """Answer what was accepted, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while jobs := self._take():
            taken = time.perf_counter()
            # Whoever waited for one of the others has given up.
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            try:
                self._answer(wanted, taken)
            # Whatever it is, who waits is told, and the thread lives on.
            except Exception as error:
                for job in wanted:
                    if not job.future.done():
                        job.future.set_exception(error)
            if wanted:
                seconds = (time.perf_counter() - taken) / len(wanted)
                self._seconds += _NEWEST * (seconds - self._seconds)

    def _take(self) -> list[_Job]:
        """The next images, a fair share of those that wait; none when all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            share = math.ceil(len(self._waiting) / len(self._threads))
            count = min(self._batch_size, share)
            return [self._waiting.popleft() for _ in range(count)]

    def _answer(self, jobs: list[_Job], taken: float) -> None:
        decoded: list[tuple[_Job, np.ndarray, float]] = []
        for job in jobs:
            started = time.perf_counter()
            try:
                pixels = self._model.decode(job.content, self._max_pixels)
            except UserError as error:
                job.future.set_exception(error)
            else:
                decoded.append((job, pixels, time.perf_counter() - started))
        if not decoded:
            return
        started = time.perf_counter()
        answers = self._model.answers(np.stack([pixels for _, pixels, _ in decoded]))
        inference = time.perf_counter() - started
        for (job, _, decoding), answer in zip(decoded, answers, strict=True):
            job.future.set_result(Judged(answer, taken - job.arrived, decoding, inference))


def useful_batch_size(
    predict: Predictor, images: np.ndarray, clock: Callable[[], float] = time.perf_counter
) -> int:
    """How many images to give the model at once: all of `images`, or 1 if it gains nothing.

    images: uint8 `(N, input_size, input_size, 3)`. Measures both here, in turn.
    """

    def seconds(batches: Sequence[np.ndarray]) -> float:
        started = clock()
        for batch in batches:
            predict(batch)
        return clock() - started

    single = [images[row : row + 1] for row in range(len(images))]
    rounds = [(seconds(single), seconds([images])) for _ in range(_ROUNDS + 1)]
    # The first round warms up; the fastest of the others was disturbed the least.
    alone, together = (min(times) for times in zip(*rounds[1:], strict=True))
    return len(images) if together <= _WORTH_IT * alone else 1
