"""Run a model with PyTorch: as it was trained, or from a `.pt2` or TorchScript file."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch

from classifier.inference.onnx_runtime import Outputs, Predictor
from classifier.models.bundle import load_bundle
from classifier.models.devices import choose_device
from classifier.models.outside import OUTSIDE_FILE, load_outside, with_scores
from classifier.processing.spec import BundleSpec


def load_weights(folder: Path, threads: int = 0) -> tuple[BundleSpec, Predictor, str]:
    """Load the weights in `folder`, on the GPU where there is one.

    Returns:
        The description of the model, the model as a function, and its digest.

    Raises:
        UserError: as `load_bundle` does.
    """
    if threads:
        torch.set_num_threads(threads)
    bundle = load_bundle(folder, choose_device())
    network = with_scores(bundle.model, load_outside(folder / OUTSIDE_FILE, bundle.digest))
    return bundle.spec, eager(network), bundle.digest


def load_pt2(content: bytes) -> Predictor:
    """Load a `.pt2` file on the CPU; only one whose hash is known (`read_exported`)."""
    return _predictor(torch.export.load(io.BytesIO(content)).module())


def load_torchscript(content: bytes) -> Predictor:
    """Load TorchScript on the CPU; only a file whose hash is known (`read_exported`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return _predictor(torch.jit.load(io.BytesIO(content)))


def eager(network: torch.nn.Module) -> Predictor:
    """Return the network as the other formats are: a function of arrays, on its device."""
    return _predictor(network)


def _predictor(module: torch.nn.Module) -> Predictor:
    @torch.no_grad()
    def predict(images: np.ndarray) -> Outputs:
        given = module(torch.from_numpy(images))
        # Logits alone, or logits and what is beside them.
        tensors = given if isinstance(given, tuple | list) else (given,)
        return Outputs.of(tensor.float().cpu().numpy() for tensor in tensors)

    return predict
