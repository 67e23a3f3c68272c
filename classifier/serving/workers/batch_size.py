"""Measure how many images the model should get at once."""

import time
from collections.abc import Callable

import numpy as np

from classifier.inference.onnx_runtime import Predictor

# Twice as many images at once must take at most this share of the time an image, since each waits
# for the others of its batch.
_WORTH_IT = 0.95
_ROUNDS = 5


def useful_batch_size(
    predict: Predictor, images: np.ndarray, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Return the batch size that pays here: a power of two, at most the number of `images`.

    images: uint8 `(N, input_size, input_size, 3)`. All sizes are measured in turn.
    """

    def seconds(size: int) -> float:
        started = clock()
        for first in range(0, size * (len(images) // size), size):
            predict(images[first : first + size])
        return (clock() - started) / (size * (len(images) // size))

    sizes = [1 << power for power in range(len(images).bit_length())]
    rounds = [[seconds(size) for size in sizes] for _ in range(_ROUNDS + 1)]
    # The first round warms up; the fastest of the others was disturbed the least.
    fastest = [min(times) for times in zip(*rounds[1:], strict=True)]
    chosen = 0
    while chosen + 1 < len(sizes) and fastest[chosen + 1] <= _WORTH_IT * fastest[chosen]:
        chosen += 1
    return sizes[chosen]
