"""The model as files that run without this project, and how they compare with it.

All take images as uint8 `(N, input_size, input_size, 3)`, RGB, and give float32 logits `(N, classes)`;
normalisation is inside, so that no caller can get the mean or the order of channels wrong.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field

from classifier.core.config import Params
from classifier.export.executorch_export import load_executorch, to_executorch
from classifier.export.int8_search import Int8Params
from classifier.export.onnx_export import to_onnx
from classifier.export.torch_export import to_pt2, to_torchscript
from classifier.inference.onnx_runtime import ONNX_FILE, Predictor, load_onnx
from classifier.inference.torch_runtime import load_pt2, load_torchscript
from classifier.models.network import Classifier


class ExportParams(Params):
    """Section `export`."""

    batch_size: int = Field(ge=1)
    max_logit_difference: float = Field(gt=0)
    mobile: bool
    int8: Int8Params


class Format(NamedTuple):
    """A file format in float: how to write it, and how to run what was written."""

    name: str
    file: str
    write: Callable[[Classifier, int], bytes]
    load: Callable[[bytes], Predictor]


def run_onnx(content: bytes) -> Predictor:
    """Run an ONNX file with as many threads as PyTorch has."""
    return load_onnx(content, torch.get_num_threads())


ONNX = Format("onnx", ONNX_FILE, to_onnx, run_onnx)
PT2 = Format("pt2", "model.pt2", to_pt2, load_pt2)
# Legacy: PyTorch deprecates it.
TORCHSCRIPT = Format("torchscript", "model.torchscript.pt", to_torchscript, load_torchscript)
EXECUTORCH = Format("executorch", "model.pte", to_executorch, load_executorch)
INT8_NAME = "int8"


def formats(params: ExportParams) -> list[Format]:
    """The float formats that are asked for."""
    return [ONNX, PT2, TORCHSCRIPT, *([EXECUTORCH] if params.mobile else [])]


class Agreement(NamedTuple):
    """How an exported file compares with the model that it came from, on the same images."""

    accuracy: float
    top1_agreement: float
    max_logit_difference: float

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f}, top-1 agreement {self.top1_agreement:.4f}, "
            f"largest logit difference {self.max_logit_difference:.2g}"
        )


def compare(logits: np.ndarray, expected: np.ndarray, labels: np.ndarray) -> Agreement:
    """logits, expected: float32 `(N, classes)`; labels: int64 `(N,)`."""
    predicted = logits.argmax(axis=1)
    return Agreement(
        float(np.mean(predicted == labels)),
        float(np.mean(predicted == expected.argmax(axis=1))),
        float(np.abs(logits - expected).max()),
    )
