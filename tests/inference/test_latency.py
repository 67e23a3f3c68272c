import time

import numpy as np

from classifier.inference.latency import measure_in_turn, seconds_in_turn
from classifier.inference.onnx_runtime import Outputs


def test_slower_function_is_found_slower_and_calls_take_turns() -> None:
    called: list[str] = []

    def sleeping(name: str, seconds: float):
        def predict(images: np.ndarray) -> Outputs:
            called.append(name)
            time.sleep(seconds)
            return Outputs(images, None)

        return predict

    both = {"slow": sleeping("slow", 0.004), "fast": sleeping("fast", 0.0005)}
    seconds = seconds_in_turn(both, np.zeros((1, 2, 2, 3), np.uint8), calls=2)
    assert called[:9] == ["slow"] * 3 + ["fast"] * 3 + ["slow"] * 3
    assert len(seconds["slow"]) == len(seconds["fast"]) == called.count("slow") * 2 / 3
    assert min(seconds["slow"]) >= 0.004


def test_figures_are_of_one_image_and_of_batches() -> None:
    sizes: set[int] = set()

    def predict(images: np.ndarray) -> Outputs:
        sizes.add(len(images))
        return Outputs(images, None)

    (speed,) = measure_in_turn({"it": predict}, np.zeros((5, 2, 2, 3), np.uint8), 32).values()
    assert sizes == {1, 32}
    assert 0 < speed.milliseconds_p50 <= speed.milliseconds_p95
    assert speed.images_per_second > 0


def test_throughput_is_of_a_function_that_has_its_memory() -> None:
    waited = iter([0.4, 0.3])

    def predict(images: np.ndarray) -> Outputs:
        if len(images) > 1:
            time.sleep(next(waited, 0.001))
        return Outputs(images)

    (speed,) = measure_in_turn({"it": predict}, np.zeros((1, 2, 2, 3), np.uint8), 32).values()
    assert speed.images_per_second > 32 / 0.1


def test_nothing_to_measure_takes_no_time() -> None:
    assert measure_in_turn({}, np.zeros((1, 2, 2, 3), np.uint8)) == {}
