"""The model as files that run without this project: ONNX and TorchScript.

Both take pictures as uint8 `(N, crop, crop, 3)`, RGB, and give float32 logits `(N, classes)`;
normalisation is inside, so that no caller can get the mean or the order of channels wrong.
"""

import io
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from pydantic import Field

from classifier.config import Params
from classifier.models import Classifier

Predictor = Callable[[np.ndarray], np.ndarray]


class ExportParams(Params):
    """Section `export`."""

    batch_size: int = Field(ge=1)
    max_logit_difference: float = Field(gt=0)


class Format(NamedTuple):
    """A file format: how to write it, and how to run what was written."""

    name: str
    file: str
    write: Callable[[Classifier, int], bytes]
    load: Callable[[bytes], Predictor]


def to_onnx(model: Classifier, crop: int) -> bytes:
    """The model as one ONNX file for batches of any size, the same bytes for the same model."""
    program = torch.onnx.export(
        model,
        (_example(crop),),
        input_names=["pictures"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    _forget_origin(proto)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def _forget_origin(proto: onnx.ModelProto) -> None:
    """Remove stack traces, and with them this machine's paths, from the graph."""
    graph = proto.graph
    parts = [proto, graph, *proto.functions, *graph.node, *graph.value_info, *graph.initializer]
    for part in [*parts, *graph.input, *graph.output]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def load_onnx(content: bytes) -> Predictor:
    """Run an ONNX file with ONNX Runtime on the processor."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def predict(pictures: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(["logits"], {"pictures": pictures})[0])

    return predict


def to_torchscript(model: Classifier, crop: int) -> bytes:
    """The model as TorchScript, for hosts that have it already: PyTorch itself deprecates it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.freeze(torch.jit.trace(model, _example(crop)))
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    buffer.seek(0)
    return _without_debug_records(buffer)


def _without_debug_records(archive: io.BytesIO) -> bytes:
    """The same archive without the source lines of its author, which hold this machine's paths."""
    reader = torch._C.PyTorchFileReader(archive)
    result = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(result)
    for name in reader.get_all_records():
        if not name.endswith(".debug_pkl") and name not in ("version", ".data/serialization_id"):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return result.getvalue()


def load_torchscript(content: bytes) -> Predictor:
    """Run TorchScript on the processor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.load(io.BytesIO(content))

    @torch.no_grad()
    def predict(pictures: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(pictures)).numpy()

    return predict


FORMATS = (
    Format("onnx", "model.onnx", to_onnx, load_onnx),
    Format("torchscript", "model.torchscript.pt", to_torchscript, load_torchscript),
)


class Agreement(NamedTuple):
    """How an exported file compares with the model that it came from, on the same pictures."""

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


def _example(crop: int) -> torch.Tensor:
    # Two pictures: with one, an exporter takes the batch's size for a constant.
    return torch.zeros(2, crop, crop, 3, dtype=torch.uint8)
