"""The file formats that run without this project, and how a file compares with the model.

All take images as uint8 `(N, input_size, input_size, 3)`, RGB, and give float32 logits
`(N, classes)`. They normalise the images themselves, so that no caller can get the mean or the
order of channels wrong.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import torch

from classifier.export.executorch_export import load_executorch, to_executorch
from classifier.export.onnx_export import to_onnx
from classifier.export.params import FormatName
from classifier.export.torch_export import to_pt2, to_torchscript
from classifier.inference.onnx_runtime import ONNX_FILE, Predictor, load_onnx
from classifier.inference.torch_runtime import load_pt2, load_torchscript
from classifier.models.network import Classifier


class Format(NamedTuple):
    """A file format in float32, with the functions that write and load it."""

    name: str
    file: str
    write: Callable[[Classifier, int], bytes]
    load: Callable[[bytes], Predictor]


def run_onnx(content: bytes) -> Predictor:
    """Load an ONNX file, to run with as many threads as PyTorch uses."""
    return load_onnx(content, torch.get_num_threads())


ONNX = Format("onnx", ONNX_FILE, to_onnx, run_onnx)
TORCH_EXPORT = Format("torch_export", "model.pt2", to_pt2, load_pt2)
# PyTorch deprecates TorchScript; it is for hosts that run it already.
TORCHSCRIPT = Format("torchscript", "model.torchscript.pt", to_torchscript, load_torchscript)
EXECUTORCH = Format("executorch", "model.pte", to_executorch, load_executorch)
FORMATS = (ONNX, TORCH_EXPORT, TORCHSCRIPT, EXECUTORCH)
INT8_NAME = "int8"


def chosen_formats(names: Collection[FormatName]) -> list[Format]:
    """Return the formats of these names, ONNX first."""
    return [form for form in FORMATS if form.name in names]


class Agreement(NamedTuple):
    """Agreement of an exported file with the PyTorch model on the same images."""

    accuracy: float
    top1_agreement: float
    max_logit_difference: float

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f}, top-1 agreement {self.top1_agreement:.4f}, "
            f"largest logit difference {self.max_logit_difference:.2g}"
        )


def measure_agreement(logits: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> Agreement:
    """Compare the logits of a file with those of PyTorch.

    Args:
        logits: of the file, float32 `(N, classes)`.
        expected: of PyTorch, float32 `(N, classes)`.
        labels: true classes, int64 `(N,)`.
    """
    predicted = logits.argmax(axis=1)
    return Agreement(
        float(np.mean(predicted == labels)),
        float(np.mean(predicted == expected.argmax(axis=1))),
        float(np.abs(logits - expected).max()),
    )
