"""Run a model with PyTorch: as it was trained, or from a `.pt2` or TorchScript file."""

import io
import warnings

import numpy as np
import torch

from classifier.inference.onnx_runtime import Predictor
from classifier.models.network import Classifier


def load_pt2(content: bytes) -> Predictor:
    """Run a `.pt2` file on the processor; only of one whose hash is known (`read_exported`)."""
    return _predictor(torch.export.load(io.BytesIO(content)).module())


def load_torchscript(content: bytes) -> Predictor:
    """Run TorchScript on the processor; only of a file whose hash is known (`read_exported`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return _predictor(torch.jit.load(io.BytesIO(content)))


def eager(model: Classifier) -> Predictor:
    """The model as it was trained, as the other formats are: a function of arrays."""
    return _predictor(model)


def _predictor(module: torch.nn.Module) -> Predictor:
    @torch.no_grad()
    def predict(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images)).float().numpy()

    return predict
