"""Classify many images: decode and run the model in parallel on all cores.

Every thread reads a batch, decodes it and runs the model on it, with a runtime that uses no
threads of its own, so no core waits for another one.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np

from classifier.core.processes import worker_count
from classifier.inference.answer import Answer
from classifier.inference.image_files import Found, decode
from classifier.inference.predict import Model
from classifier.processing.images import DecodedImage

BATCH_SIZE = 16


class ImageResult(NamedTuple):
    """The answer for an image, or the problem with it.

    Attributes:
        name: of the image.
        answer: of the model; None with a problem.
        image: as it was decoded; None with a problem.
        problem: why there is no answer, in words.
        warnings: what the decoder complained about, though it gave pixels.
    """

    name: str
    answer: Answer | None
    image: DecodedImage | None
    problem: str = ""
    warnings: tuple[str, ...] = ()


def classify_all(
    model: Model, images: Iterable[Found], *, count: int | None = None, workers: int = 0
) -> Generator[ImageResult, None, None]:
    """Yield the outcomes in the order of the images, which are read as they are needed.

    Args:
        model: with one thread per call (`load_model(threads=1)`).
        images: from `read_images`.
        count: how many images there are, where that is known.
        workers: number of threads; 0 for `worker_count()`.
    """
    workers = workers or worker_count()
    # Few images are shared out, so that all cores have some.
    size = BATCH_SIZE if count is None else max(1, min(BATCH_SIZE, -(-count // workers)))
    waiting = iter(images)
    with ThreadPoolExecutor(workers) as pool:
        running = deque(
            pool.submit(_classify_batch, model, batch)
            for batch in islice(_batches(waiting, size), 2 * workers)
        )
        try:
            while running:
                outcomes = running.popleft().result()
                if batch := list(islice(waiting, size)):
                    running.append(pool.submit(_classify_batch, model, batch))
                yield from outcomes
        finally:
            for future in running:
                future.cancel()


def _batches(images: Iterator[Found], size: int) -> Iterator[list[Found]]:
    while batch := list(islice(images, size)):
        yield batch


def _classify_batch(model: Model, batch: list[Found]) -> list[ImageResult]:
    decoded = [decode(found, model.read) for found in batch]
    good = [image.pixels for image in decoded if not isinstance(image, str)]
    answers = iter(model.answers(np.stack(good)) if good else [])
    return [
        ImageResult(found.name, None, None, image)
        if isinstance(image, str)
        else ImageResult(found.name, next(answers), image, warnings=image.warnings)
        for found, image in zip(batch, decoded, strict=True)
    ]
