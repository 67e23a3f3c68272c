"""The file formats that run without this project, and how a file compares with the model.

All take images as uint8 `(N, input_size, input_size, 3)`, RGB, an ExecuTorch file one image, and
give float32 logits `(N, classes)` and, where the run has them, outside scores `(N,)` and
similarities `(N, m)`. They normalise the images themselves, so that no caller can get the mean or
the order of channels wrong.
"""

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import torch

from classifier.export.executorch_export import load_executorch, to_executorch
from classifier.export.onnx_export import Network, to_onnx
from classifier.export.params import FormatName
from classifier.export.torch_export import to_pt2, to_torchscript
from classifier.inference.onnx_runtime import ONNX_FILE, Outputs, Predictor, load_onnx
from classifier.inference.torch_runtime import load_pt2, load_torchscript


class Format(NamedTuple):
    """A file format in float32, with the functions that write and load it."""

    name: str
    file: str
    write: Callable[[Network, int], bytes]
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
    """Agreement of an exported file with the PyTorch model on the same images.

    Attributes:
        accuracy: of the file.
        top1_agreement: share of images of which both predict the same class.
        max_logit_difference: largest difference of a logit.
        max_outside_difference: largest difference of an outside score; None without.
        refused: share of images above the threshold of the outside score, by the file; NaN without.
    """

    accuracy: float
    top1_agreement: float
    max_logit_difference: float
    max_outside_difference: float | None = None
    refused: float = math.nan

    def __str__(self) -> str:
        text = (
            f"accuracy {self.accuracy:.4f}, top-1 agreement {self.top1_agreement:.4f}, "
            f"largest logit difference {self.max_logit_difference:.2g}"
        )
        if self.max_outside_difference is None:
            return text
        return f"{text}, of an outside score {self.max_outside_difference:.2g}"


def measure_agreement(
    given: Outputs, expected: Outputs, labels: np.ndarray, outside_above: float | None = None
) -> Agreement:
    """Compare what a file gives with what PyTorch gives.

    Args:
        given: of the file, for N images.
        expected: of PyTorch, for the same images.
        labels: true classes, int64 `(N,)`.
        outside_above: threshold of the outside score.
    """
    predicted = given.logits.argmax(axis=1)
    agreement = Agreement(
        float(np.mean(predicted == labels)),
        float(np.mean(predicted == expected.logits.argmax(axis=1))),
        float(np.abs(given.logits - expected.logits).max()),
    )
    if expected.outside is None or outside_above is None:
        return agreement
    if given.outside is None:
        return agreement._replace(max_outside_difference=math.nan)
    return agreement._replace(
        max_outside_difference=float(np.abs(given.outside - expected.outside).max()),
        refused=float(np.mean(given.outside > outside_above)),
    )
