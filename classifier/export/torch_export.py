"""Export to files that PyTorch runs: torch.export's `.pt2`, and TorchScript for older hosts."""

import io
import warnings
from collections.abc import Callable

import torch

from classifier.export.onnx_export import Network, example

# What the exporter writes beside each operation: source lines, with this machine's paths.
_ORIGIN = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")
# A record that the writer adds again. It would write a version, too, but that of files without
# newer operations, whose division of whole numbers PyTorch would read in another way.
_SERIALIZATION_ID = ".data/serialization_id"


def to_pt2(model: Network, input_size: int) -> bytes:
    """Return the model as torch.export writes it; same model, same bytes."""
    program = torch.export.export(
        model.eval(), (example(input_size),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                for key in _ORIGIN:
                    node.meta.pop(key, None)
    program.example_inputs = None
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # It takes weights in channels-last order for parts of larger tensors; they are whole.
        warnings.filterwarnings("ignore", message="No complete tensor found")
        torch.export.save(program, buffer)
    return _repeatable(buffer)


def to_torchscript(model: Network, input_size: int) -> bytes:
    """Return the model as TorchScript, which PyTorch deprecates, for hosts that run it already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.freeze(torch.jit.trace(model, example(input_size)))
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    return _repeatable(buffer)


def _repeatable(archive: io.BytesIO) -> bytes:
    """Return the archive without what differs from run to run or names this machine's paths."""
    return copy_records(
        archive, lambda name: not name.endswith(".debug_pkl") and name != _SERIALIZATION_ID
    )


def copy_records(archive: io.BytesIO, wanted: Callable[[str], bool]) -> bytes:
    """Copy the records that are wanted, by name, into a new archive of PyTorch.

    A plain zip file would not do: PyTorch aligns the records and writes some of its own.
    `PyTorchFileReader` and `PyTorchFileWriter` are no public interface; seen with PyTorch 2.15.0.
    """
    archive.seek(0)
    reader = torch._C.PyTorchFileReader(archive)
    result = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(result)
    for name in filter(wanted, reader.get_all_records()):
        record = reader.get_record(name)
        writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return result.getvalue()
