from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from builders.tiny import tiny_model
from onnxruntime.quantization.calibrate import TensorsData
from pydantic import ValidationError

from classifier.export import int8_search, quantization
from classifier.export.int8_search import Int8Params, Int8Search, Search
from classifier.export.onnx_export import to_onnx
from classifier.export.quantization import Calibration
from classifier.inference.onnx_runtime import Predictor


@pytest.fixture(scope="module")
def given() -> bytes:
    return to_onnx(tiny_model(), 8)


def int8_params(**changes: Any) -> Int8Params:
    section = {
        "methods": ["minmax", "percentile", "entropy", "exclude"],
        "calibration_images": 4,
        "max_accuracy_drop": 0.01,
        "min_speedup": None,
    }
    return Int8Params.model_validate(section | changes)


def accuracies(*values: float) -> Callable[[Predictor], float]:
    """Measures that give these accuracies in turn, the first to the float file."""
    rest = iter(values)
    return lambda predict: next(rest)


def search(given: bytes, *values: float, speedup: float = 2.0, **changes: Any) -> Search:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    found = Int8Search(given, images, accuracies(*values), 1)
    return found.run(int8_params(**changes), lambda content: speedup)


def tried(found: Search) -> list[tuple[str, int]]:
    return [(attempt.calibration, len(attempt.excluded)) for attempt in found.attempts]


def test_first_method_that_loses_little_is_chosen_and_no_other_tried(given: bytes) -> None:
    found = search(given, 0.9, 0.895)
    assert tried(found) == [("minmax", 0)]
    assert found.chosen is found.attempts[0]
    assert found.attempts[0].drop == pytest.approx(0.005)
    assert (
        "Int8 by minmax is published: it changes the validation accuracy by -0.0050" in found.reason
    )
    assert "2.00 times as fast" in found.reason


def test_loss_of_just_what_is_allowed_is_allowed(given: bytes) -> None:
    assert search(given, 0.9, 0.89).chosen


def test_methods_are_tried_in_their_order_until_one_is_good_enough(given: bytes) -> None:
    found = search(given, 0.9, 0.8, 0.91)
    assert tried(found) == [("minmax", 0), ("percentile", 0)]
    assert found.chosen is found.attempts[1]
    assert "published after minmax lost 0.1000" in found.reason


def test_method_that_raises_is_told_and_the_others_still_count(
    given: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def calibrate(
        model: onnx.ModelProto, images: np.ndarray, calibration: Calibration, threads: int
    ) -> TensorsData:
        if calibration == "percentile":
            raise ValueError("no bins\nmore")
        return quantization.calibrate(model, images, calibration, threads)

    monkeypatch.setattr(int8_search, "calibrate", calibrate)
    found = search(given, 0.9, 0.8, 0.91)
    assert tried(found) == [("minmax", 0), ("entropy", 0)]
    assert found.chosen is found.attempts[1]
    assert "after minmax lost 0.1000, percentile failed (ValueError: no bins)" in found.reason
    found = search(given, 0.9, methods=["percentile"])
    assert found.reason == "No int8 file: percentile failed (ValueError: no bins)."


def test_sensitive_layers_are_left_out_of_the_best_until_it_is_good_enough(given: bytes) -> None:
    found = search(given, 0.9, 0.8, 0.85, 0.7, 0.86, 0.9)
    assert tried(found) == [
        ("minmax", 0),
        ("percentile", 0),
        ("entropy", 0),
        ("percentile", 1),
        ("percentile", 2),
    ]
    assert found.chosen is found.attempts[-1]
    assert "percentile without 2 sensitive layers" in found.reason
    assert found.attempts[3].name == "percentile without 1 sensitive layer"


def test_exclusion_alone_begins_with_all_layers(given: bytes) -> None:
    found = search(given, 0.9, 0.8, 0.9, methods=["exclude"])
    assert tried(found) == [("minmax", 0), ("minmax", 1)]
    assert "minmax without 1 sensitive layer is" in found.reason
    assert search(given, 0.9, 0.9, methods=["exclude"]).chosen


def test_nothing_is_published_where_every_attempt_loses_too_much(given: bytes) -> None:
    found = search(given, 0.9, *[0.8] * 20)
    assert found.chosen is None
    assert len(found.attempts) > 4
    assert max(len(attempt.excluded) for attempt in found.attempts) >= 1
    assert "loses 0.1000 of the validation accuracy" in found.reason
    assert "export.int8.max_accuracy_drop allows 0.01" in found.reason


def test_speed_decides_only_where_it_is_asked_to(given: bytes) -> None:
    assert search(given, 0.9, 0.9, speedup=0.5).chosen
    found = search(given, 0.9, 0.9, speedup=1.05, min_speedup=1.1)
    assert found.chosen is None
    assert tried(found) == [("minmax", 0)]
    assert "1.05 times as fast" in found.reason
    assert "export.int8.min_speedup asks for 1.1" in found.reason
    assert search(given, 0.9, 0.9, speedup=1.15, min_speedup=1.1).chosen


def test_no_method_means_no_file(given: bytes) -> None:
    found = search(given, 0.9, methods=[])
    assert (found.attempts, found.chosen) == ([], None)
    assert "export.int8.methods names no method" in found.reason


@pytest.mark.parametrize(
    ("methods", "said"),
    [(["minmax", "minmax"], "names a method twice"), (["exclude", "minmax"], "name it last")],
)
def test_methods_that_contradict_each_other_are_refused(methods: list[str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        int8_params(methods=methods)
