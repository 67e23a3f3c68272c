"""Measure whether the model is faster on batches."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from classifier.inference.onnx_runtime import Predictor

# Several images at once must take at most this share of the time that they take one by one.
_WORTH_IT = 0.8
_ROUNDS = 5


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
