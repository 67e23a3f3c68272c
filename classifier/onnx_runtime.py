"""Run an ONNX file on the processor: ONNX Runtime and NumPy are all that this needs."""

from collections.abc import Callable

import numpy as np
import onnxruntime

# Pictures uint8 `(N, crop, crop, 3)` → logits float32 `(N, classes)`.
Predictor = Callable[[np.ndarray], np.ndarray]
INPUT, OUTPUT = "pictures", "logits"


def load_onnx(content: bytes, threads: int = 0) -> Predictor:
    """The file as a function; threads: 0 leaves their number to ONNX Runtime, one a core."""
    session = _session(content, threads, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)

    def predict(pictures: np.ndarray) -> np.ndarray:
        return np.asarray(session.run([OUTPUT], {INPUT: pictures})[0])

    return predict


def plain_session(content: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session that computes every node of the file by itself, with nothing fused."""
    return _session(content, threads, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)


def _session(
    content: bytes, threads: int, optimization: onnxruntime.GraphOptimizationLevel
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = optimization
    # Threads that go on waiting actively would slow whatever runs between two calls.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
