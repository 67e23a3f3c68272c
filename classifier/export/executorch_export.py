"""Export for phones: ExecuTorch with XNNPACK's kernels (the extra `mobile`)."""

import importlib
from types import ModuleType

import numpy as np
import torch

from classifier.core.errors import UserError
from classifier.export.onnx_export import Network, Plain
from classifier.inference.onnx_runtime import Outputs, Predictor


def to_executorch(model: Network, input_size: int) -> bytes:
    """Return a `.pte` file that takes one image, uint8 `(1, input_size, input_size, 3)`.

    Memory is planned when the file is written, so that a larger batch would cost every phone its
    memory.

    Raises:
        UserError: where the extra `mobile` is not installed.
    """
    exir = _part_of_executorch("executorch.exir")
    xnnpack = _part_of_executorch("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    image = torch.zeros(1, input_size, input_size, 3, dtype=torch.uint8)
    program = torch.export.export(Plain(model), (image,))
    lowered = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


def load_executorch(content: bytes) -> Predictor:
    """Load a `.pte` file, to run on this machine an image at a time."""
    runtime = _part_of_executorch("executorch.runtime").Runtime.get()
    program = runtime.load_program(content)

    def predict(images: np.ndarray) -> Outputs:
        # The program remembers the method, and holds the bytes that the method reads.
        method = program.load_method("forward")
        answers = [method.execute((torch.from_numpy(one[None]),)) for one in images]
        parts = zip(*answers, strict=True)
        return Outputs.of(np.concatenate([part.numpy() for part in of]) for of in parts)

    return predict


def _part_of_executorch(name: str) -> ModuleType:
    """Import a module of the optional package, which is also slow to import."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise UserError(
            "export.formats names executorch, which needs the extra mobile: install it with "
            "`uv pip install -e .[mobile]`, or remove executorch from export.formats."
        ) from None
