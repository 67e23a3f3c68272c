"""Export to one ONNX file, without traces of the machine that wrote it."""

import copy

import onnx
import torch
from torch import Tensor, nn

from classifier.inference.onnx_runtime import INPUT, OUTPUT
from classifier.models.network import Classifier


class Plain(nn.Module):
    """The same function, with images and weights in memory in the order `(N, 3, H, W)`.

    Exporters turn PyTorch's channels-last order into gathers that compute positions in memory,
    which no runtime can fuse or quantise.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(N, classes)` of images uint8 `(N, H, W, 3)`."""
        normalized = self.model.normalize(images).contiguous()
        return self.model.head(self.model.backbone(normalized))


def to_onnx(model: Classifier, input_size: int) -> bytes:
    """Return the model as one ONNX file for batches of any size; same model, same bytes."""
    program = torch.onnx.export(
        Plain(model),
        (example(input_size),),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    return onnx_bytes(program.model_proto)


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
