import numpy as np
import pytest

from classifier.inference.onnx_runtime import Outputs
from classifier.serving.workers.batch_size import useful_batch_size


@pytest.mark.parametrize(("fixed", "each", "expected"), [(1.0, 0.0, 4), (0.0, 1.0, 1)])
def test_batches_are_on_only_where_they_measure_better(
    fixed: float, each: float, expected: int
) -> None:
    """fixed, each: seconds of a call, and of every image in it."""
    now = 0.0

    def predict(images: np.ndarray) -> Outputs:
        nonlocal now
        now += fixed + each * len(images)
        return Outputs(images, None)

    assert useful_batch_size(predict, np.zeros((4, 2, 2, 3), np.uint8), lambda: now) == expected
