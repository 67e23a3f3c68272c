"""Quantise an ONNX model to eight bits: static, per channel, calibrated on images.

Activations are uint8 and weights int8, each channel of a layer with a scale of its own (Jacob et
al., 1712.05877), written as pairs of QuantizeLinear and DequantizeLinear (QDQ) that ONNX Runtime
and OpenVINO fuse into integer kernels. How wide an activation's scale is, calibration says:

| calibration | range of an activation |
| --- | --- |
| `minmax` | everything that was seen |
| `percentile` | all but the outermost 0.01% of what was seen |
| `entropy` | where least information is lost (Migacz, "8-bit inference with TensorRT", 2017) |
"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, create_calibrator
from onnxruntime.quantization.calibrate import CalibraterBase, CalibrationDataReader, TensorsData
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from classifier.export.onnx_export import onnx_bytes
from classifier.inference.onnx_runtime import INPUT, LOGITS, load_onnx, plain_session

Calibration = Literal["minmax", "percentile", "entropy"]
_METHODS = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99}),
    # Enough bins to choose from: with as many as are quantised to, there would be no choice.
    "entropy": (CalibrationMethod.Entropy, {"num_bins": 512, "num_quantized_bins": 128}),
}
# Layers with weights: what takes the time, and what a model may be sensitive in.
_LAYERS = ("Conv", "Gemm", "MatMul")
# All activations of a batch are in memory while it is looked at.
_BATCH = 8


class Sensitivity(NamedTuple):
    """A layer, and the root mean squared error of the logits when it alone is quantised."""

    layer: str
    error: float


def prepare(content: bytes) -> onnx.ModelProto:
    """Infer all shapes and fuse what can be fused, as quantisation needs it."""
    with tempfile.TemporaryDirectory() as folder:
        given, prepared = Path(folder) / "given.onnx", Path(folder) / "prepared.onnx"
        given.write_bytes(content)
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
    _store_whole_numbers_in_bytes(model)
    return model


def _store_whole_numbers_in_bytes(model: onnx.ModelProto) -> None:
    """Write matrices of whole numbers as int8 again, which ONNX Runtime has computed as float32.

    They belong to what a model gives beside logits, which stays as it is. As eight bits with a
    scale of 1 they are multiplied by integer kernels where their other factor has eight bits too.
    """
    nodes, apart = model.graph.node, nodes_beside(model)
    inputs = {name for node in nodes if node.name in apart for name in node.input}
    scale = onnx.numpy_helper.from_array(np.array(1, np.float32), "scale_of_whole_numbers")
    dequantized = []
    for initializer in [one for one in model.graph.initializer if one.name in inputs]:
        values = onnx.numpy_helper.to_array(initializer)
        if values.dtype != np.float32 or values.ndim != 2:
            continue
        if not np.array_equal(values, np.clip(np.rint(values), -128, 127)):
            continue
        whole = values.astype(np.int8)
        name = f"{initializer.name}_int8"
        dequantized.append(
            onnx.helper.make_node(
                "DequantizeLinear", [name, scale.name], [initializer.name], f"{name}_dequantized"
            )
        )
        initializer.CopyFrom(onnx.numpy_helper.from_array(whole, name))
    if dequantized:
        model.graph.initializer.append(scale)
    others = list(nodes)
    del nodes[:]
    nodes.extend([*dequantized, *others])


def calibrate(
    model: onnx.ModelProto, images: np.ndarray, calibration: Calibration, threads: int
) -> TensorsData:
    """Find the range of every activation.

    Args:
        model: from `prepare`.
        images: uint8 `(N, input_size, input_size, 3)`.
        calibration: how to find the ranges.
        threads: of ONNX Runtime.
    """
    method, options = _METHODS[calibration]
    with tempfile.TemporaryDirectory() as folder, _quietly():
        path, augmented = Path(folder) / "model.onnx", Path(folder) / "augmented.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            augmented_model_path=str(augmented),
            calibrate_method=method,
            extra_options=options,
        )
        use_threads(calibrator, plain_session(augmented.read_bytes(), threads))
        for start in range(0, len(images), _BATCH):
            calibrator.collect_data(_OneBatch(images[start : start + _BATCH]))
        return calibrator.compute_data()


def use_threads(calibrator: CalibraterBase, session: onnxruntime.InferenceSession) -> None:
    """Replace the session of ONNX Runtime's calibrator by one with another number of threads.

    The calibrator has no option for it, and `infer_session` is no public interface; seen with
    ONNX Runtime 1.31.1.
    """
    assert isinstance(calibrator.infer_session, onnxruntime.InferenceSession)
    calibrator.infer_session = session


def quantize(
    model: onnx.ModelProto,
    ranges: TensorsData,
    *,
    exclude: Collection[str] = (),
    only: Collection[str] = (),
) -> bytes:
    """Return the model in eight bits; what it gives beside logits stays in float.

    Args:
        model: from `prepare`.
        ranges: of every activation (`calibrate`).
        exclude: names of nodes that stay in float.
        only: names of the nodes to quantise; empty for all.
    """
    with _quietly():
        quantizer = QDQQuantizer(
            onnx.ModelProto.FromString(model.SerializeToString()),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=list(only),
            nodes_to_exclude=[*exclude, *nodes_beside(model)],
            op_types_to_quantize=sorted({*QLinearOpsRegistry, *QDQRegistry}),
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    return onnx_bytes(quantizer.model.model)


def layers(model: onnx.ModelProto) -> list[str]:
    """Return the names of the layers with weights that may be quantised, in the graph's order."""
    apart = nodes_beside(model)
    return [
        node.name for node in model.graph.node if node.op_type in _LAYERS and node.name not in apart
    ]


def nodes_beside(model: onnx.ModelProto) -> set[str]:
    """Return the names of the nodes that other outputs need and the logits do not.

    They are few and fast; in eight bits, the small difference of two large numbers would be lost.
    """
    needed = (_needed(model, output.name) for output in model.graph.output)
    return set[str]().union(*needed) - _needed(model, LOGITS)


def _needed(model: onnx.ModelProto, output: str) -> set[str]:
    """Return the names of all nodes that an output depends on."""
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting, found = [output], set[str]()
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting += node.input
    return found


def scan_layers(
    model: onnx.ModelProto, ranges: TensorsData, images: np.ndarray, threads: int
) -> list[Sensitivity]:
    """Quantise each layer alone and measure its effect; return the most sensitive layer first."""
    expected = load_onnx(model.SerializeToString(), threads)(images).logits
    errors = []
    for layer in layers(model):
        logits = load_onnx(quantize(model, ranges, only=[layer]), threads)(images).logits
        errors.append(Sensitivity(layer, float(np.sqrt(np.mean((logits - expected) ** 2)))))
    return sorted(errors, key=lambda entry: -entry.error)


class _OneBatch(CalibrationDataReader):
    """A batch in the form that ONNX Runtime asks for: once, and then nothing."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches = iter([{INPUT: images}])

    def get_next(self) -> dict[str, np.ndarray]:
        return next(self._batches, {})


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silence ONNX Runtime's progress, and its advice to prepare the model."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
