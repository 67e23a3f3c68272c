"""Run an ONNX file with OpenVINO, which is faster for many networks on Intel and AMD CPUs.

Needs the extra `openvino`, and no PyTorch.
"""

import os
import threading

import numpy as np

from classifier.core.errors import UserError
from classifier.inference.onnx_runtime import INPUT, Outputs, Predictor, check_outputs


def load_openvino(content: bytes, threads: int = 0) -> Predictor:
    """Load a file as a function that several threads may call at once.

    It computes in float32, also where bfloat16 would be faster, so that the answers are those of
    the file.

    Args:
        content: of the ONNX file.
        threads: of one call; 0 for one per core.

    Raises:
        UserError: where the extra `openvino` is not installed.
    """
    try:
        import openvino  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise UserError("openvino is missing: install the extra `openvino`.") from None
    core, cores = openvino.Core(), os.cpu_count() or 1
    # A stream computes one call at a time, with its share of the threads.
    streams = max(1, cores // threads) if threads else 1
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * (threads or cores),
    }
    compiled = core.compile_model(core.read_model(content), "CPU", settings)
    # Two threads that hand over its first array at once wait for each other for ever.
    openvino.Tensor(np.zeros(1, np.uint8))
    own = threading.local()
    names = [output.any_name for output in compiled.outputs]
    check_outputs(names)

    def predict(images: np.ndarray) -> Outputs:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        given = own.request.infer({INPUT: images})
        return Outputs(**{name: np.array(given[name]) for name in names})

    return predict
