"""Latency and throughput of functions of images, measured in turn. Needs NumPy only."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from classifier.inference.onnx_runtime import Predictor

_ROUNDS = 7
# For each function, after which no further round begins. Only beside other programs do single
# images take as long as the first.
_SECONDS, _SECONDS_OF_SPEED = 4.0, 0.25
# After one that is not counted. The first two batches of a function wait for memory, and take up to
# three times as long as the later ones.
_BATCHES = 2


class Speed(NamedTuple):
    """Latency of one image (median and 95th percentile), and throughput of the fastest batch."""

    milliseconds_p50: float
    milliseconds_p95: float
    images_per_second: float


def measure_in_turn(
    predictors: Mapping[str, Predictor], images: np.ndarray, batch_size: int = 32
) -> dict[str, Speed]:
    """Measure the speed of each function; a single image up to 49 times, a batch a few times.

    Args:
        predictors: the functions by name.
        images: uint8 `(N, input_size, input_size, 3)`, repeated as needed.
        batch_size: for the throughput.
    """
    batch = np.ascontiguousarray(np.resize(images, (batch_size, *images.shape[1:])))
    single = seconds_in_turn(predictors, batch[:1], most_seconds=_SECONDS_OF_SPEED)
    many = seconds_in_turn(predictors, batch, _BATCHES, most_seconds=_SECONDS_OF_SPEED)
    return {
        name: Speed(
            float(np.percentile(single[name], 50) * 1e3),
            float(np.percentile(single[name], 95) * 1e3),
            batch_size / min(many[name]),
        )
        for name in predictors
    }


def seconds_in_turn(
    predictors: Mapping[str, Predictor],
    images: np.ndarray,
    calls: int = 7,
    most_seconds: float = _SECONDS,
) -> dict[str, list[float]]:
    """Return the seconds of each counted call, by function.

    The functions take turns of some calls each, round after round, so that whatever else the
    machine does slows all of them. The first call of a turn is not counted: caches hold the weights
    of another function, and its threads may still be waiting. Slow calls get fewer rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        for name, predict in predictors.items():
            predict(images)
            for _ in range(calls):
                begun = time.perf_counter()
                predict(images)
                seconds[name].append(time.perf_counter() - begun)
        if time.perf_counter() - started > most_seconds * len(predictors):
            break
    return seconds
