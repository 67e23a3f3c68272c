"""Export to one ONNX file, without traces of the machine that wrote it."""

import copy

import onnx
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.onnx.errors import OnnxExporterError

from classifier.inference.onnx_runtime import INPUT, LOGITS, OUTSIDE, SIMILARITY
from classifier.models.network import Classifier
from classifier.models.outside import ScoredClassifier

Network = Classifier | ScoredClassifier


class Plain(nn.Module):
    """The same function, with images and weights in memory in the order `(N, 3, H, W)`.

    Exporters turn PyTorch's channels-last order into gathers that compute positions in memory,
    which no runtime can fuse or quantise.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        scored = isinstance(model, ScoredClassifier)
        classifier = model.classifier if scored else model
        self.model = copy.deepcopy(classifier).to(memory_format=torch.contiguous_format)
        self.scorer = model if scored else None
        # Exporters take operations in place apart, for seconds, and put them together again.
        for module in self.model.modules():
            if getattr(module, "inplace", False) is True:
                vars(module)["inplace"] = False
        self.eval()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return what the model gives for images uint8 `(N, H, W, 3)`."""
        features = self.model.backbone(self._normalized(images))
        logits = self.model.head(features)
        return logits if self.scorer is None else (logits, *self.scorer.beside(features, logits))

    def _normalized(self, images: Tensor) -> Tensor:
        """Return what `Classifier.normalize` does, from whole rows of pixels.

        With mean and std of one pixel, runtimes subtract and divide three numbers at a time, which
        takes a fifth of the time of a small network in eight bits.
        """
        width = images.shape[2]
        rows = images.flatten(2).to(self.model.mean.dtype)
        rows = (rows - self.model.mean.repeat(width)) / self.model.std.repeat(width)
        return rows.unflatten(2, (width, 3)).permute(0, 3, 1, 2).contiguous()


def to_onnx(model: Network, input_size: int) -> bytes:
    """Return the model as one ONNX file for batches of any size; same model, same bytes."""
    try:
        return onnx_bytes(_export(model, input_size))
    except onnx.checker.ValidationError:
        # The exporter's optimiser loses the bounds of a second clamp of the same values, as in
        # timm's gemma4_vit; seen with onnxscript 0.7.2. Runtimes optimise the graph themselves.
        return onnx_bytes(_export(model, input_size, optimize=False))
    except OnnxExporterError as error:
        if type(error.__cause__).__name__ != "ConversionError":  # a private class
            raise
        # It translates attention of four dimensions alone, and timm's Hiera has five; of PyTorch's
        # core operations it knows all.
        return onnx_bytes(_export(model, input_size, decompose=True))


def _export(
    model: Network, input_size: int, *, optimize: bool = True, decompose: bool = False
) -> onnx.ModelProto:
    arguments, shapes = (example(input_size),), ({0: torch.export.Dim("batch")},)
    given: nn.Module | torch.export.ExportedProgram = Plain(model)
    # The exporter cannot follow the order in memory of another attention with a mask, as in BEiT.
    with sdpa_kernel(SDPBackend.MATH):
        if decompose:
            whole = torch.export.export(given, arguments, dynamic_shapes=shapes)
            given = whole.run_decompositions()
        program = torch.onnx.export(
            given,
            arguments,
            input_names=[INPUT],
            output_names=_output_names(model),
            dynamic_shapes=None if decompose else shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
            optimize=optimize,
        )
    assert program is not None
    return program.model_proto


def _output_names(model: Network) -> list[str]:
    if not isinstance(model, ScoredClassifier):
        return [LOGITS]
    beside = {OUTSIDE: model.has_score, SIMILARITY: model.has_similarity}
    return [LOGITS, *(name for name, there in beside.items() if there)]


def onnx_bytes(proto: onnx.ModelProto) -> bytes:
    """Check the model and return it as a file, without stack traces, which hold paths."""
    graph = proto.graph
    parts = [proto, graph, *proto.functions, *graph.node, *graph.value_info, *graph.initializer]
    for part in [*parts, *graph.input, *graph.output]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def example(input_size: int) -> Tensor:
    """Return images to export with; two, since exporters take a batch of one for a constant."""
    return torch.zeros(2, input_size, input_size, 3, dtype=torch.uint8)
