"""Run an ONNX file with ONNX Runtime on an NVIDIA GPU.

Needs the package onnxruntime-gpu, which takes the place of onnxruntime, and no PyTorch.
"""

import onnxruntime

from classifier.core.errors import UserError
from classifier.inference.onnx_runtime import Predictor, load_onnx

_PROVIDER = "CUDAExecutionProvider"
# Products in TF32 would round the answers to three digits.
_SETTINGS = {"use_tf32": "0"}


def load_cuda(content: bytes, threads: int = 0) -> Predictor:
    """Load a file as a function that computes on the first GPU.

    Args:
        content: of the ONNX file.
        threads: of what the GPU has no kernels for; 0 for one per core.

    Raises:
        UserError: where this ONNX Runtime has no CUDA, or finds no GPU; it would compute on the
            processor without a word.
    """
    if _PROVIDER not in onnxruntime.get_available_providers():
        raise UserError(
            "this ONNX Runtime knows no GPU: install onnxruntime-gpu in place of onnxruntime "
            "(docker/requirements-gpu.lock), or choose --runtime onnx."
        )
    # Those that its package asks for lie where no loader looks.
    onnxruntime.preload_dlls(directory="")
    return load_onnx(content, threads, provider=(_PROVIDER, _SETTINGS))
