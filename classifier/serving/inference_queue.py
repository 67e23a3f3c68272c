"""Queue images for one shared model, with a limit, and answer them in threads.

Each thread decodes an image and runs the model on it, with a runtime that uses no threads of its
own. Where the model is faster on batches, a thread takes several waiting images at once; it never
waits for more to arrive.
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
from classifier.inference.answer import Answer
from classifier.inference.onnx_runtime import Predictor
from classifier.inference.predict import Model

# Several images at once must take at most this share of the time that they take one by one.
_WORTH_IT = 0.8
_ROUNDS = 5
# Weight of the last image in the running mean of seconds per image.
_NEWEST = 0.1


class BusyError(Exception):
    """The queue is full.

    retry_after: Seconds until there should be room, at least 1.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class TimedAnswer(NamedTuple):
    """An answer with the seconds of waiting, decoding and inference of its image."""

    answer: Answer
    waiting: float
    decoding: float
    inference: float


@dataclass(frozen=True)
class _Job:
    content: bytes
    future: "Future[TimedAnswer]" = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)


class InferenceQueue:
    """Images that wait, at most `capacity`, and the threads that work from `start` to `close`."""

    def __init__(
        self, model: Model, *, threads: int, capacity: int, max_pixels: int, batch_size: int = 1
    ) -> None:
        """Make the threads without starting them.

        Args:
            model: Used by all threads, with one thread of its own per call.
            threads: Their number.
            capacity: Images that may wait; with more, `submit` raises BusyError.
            max_pixels: Larger images are refused.
            batch_size: Images that a thread may take at once.
        """
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
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Number of images that no thread has taken yet."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether `submit` would accept an image now."""
        return not self._closed and self.waiting < self._capacity

    def submit(self, contents: Sequence[bytes]) -> "list[Future[TimedAnswer]]":
        """Queue image files, all or none, and return a future for each answer.

        A future raises UserError where its image cannot be read.

        Raises:
            BusyError: There is no room for all.
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
        """Answer the accepted images, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while jobs := self._take():
            taken = time.perf_counter()
            # Requests that timed out have cancelled their futures.
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            try:
                self._answer(wanted, taken)
            # Pass any error to the caller; keep the thread alive.
            except Exception as error:
                for job in wanted:
                    if not job.future.done():
                        job.future.set_exception(error)
            if wanted:
                seconds = (time.perf_counter() - taken) / len(wanted)
                self._seconds += _NEWEST * (seconds - self._seconds)

    def _take(self) -> list[_Job]:
        """Take the next images, a fair share of those that wait; none after `close`."""
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
            job.future.set_result(TimedAnswer(answer, taken - job.arrived, decoding, inference))


def useful_batch_size(
    predict: Predictor, images: np.ndarray, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Return the batch size that pays here: that of `images`, or 1 if a batch is not faster.

    images: uint8 `(N, input_size, input_size, 3)`. Both are measured in turn.
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
