"""Read tensors from a file of pretrained weights, and match them with a network's."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from classifier.core.errors import UserError, first_line
from classifier.models.weights.stored_backbone import PretrainedHead

# Under which keys training programs store a network's tensors beside other things.
_NESTED = ("state_dict", "model")
_COUNTER = "num_batches_tracked"


class Matched(NamedTuple):
    """Tensors of a network in a file.

    Attributes:
        tensors: By the network's names.
        left_out: What the file has besides, by its own names.
        how: A line on how they were found.
    """

    tensors: dict[str, Tensor]
    left_out: dict[str, Tensor]
    how: str


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or a PyTorch file (`.pth`) of tensors alone, without running it.

    Raises:
        UserError: The file is damaged, or holds other things than tensors of plain numbers.
    """
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"
        if is_safetensors:
            return load_file(path)
        with warnings.catch_warnings():
            # Of pickles by other programs, which are refused or read whole.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    # A damaged pickle, or a text, raises exceptions of many types.
    except Exception as error:
        known = isinstance(error, RuntimeError | SafetensorError)
        reason = first_line(error) if known else "it is no PyTorch file, or cut short"
        # PyTorch advises to load it all the same, which would run what the file says.
        if isinstance(error, UnpicklingError):
            reason = "it holds other things than tensors, which are not loaded, or is damaged"
        raise UserError(
            f"the pretrained weights in {path} cannot be read ({reason}): delete the file if it is "
            "damaged, or save the tensors alone (`torch.save(network.state_dict(), path)`)."
        ) from None
    return _tensors_of(content, path)


def _tensors_of(content: object, path: Path) -> dict[str, Tensor]:
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = (
        {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise UserError(
            f"{path} holds no tensors by name: save them with "
            "`torch.save(network.state_dict(), path)`."
        )
    odd = (name for name, tensor in tensors.items() if not _holds_plain_numbers(tensor))
    if name := next(odd, None):
        raise UserError(
            f"{path}: the tensor {name} is sparse, quantised, complex or without numbers: save the "
            "weights as plain tensors."
        )
    return {name.removeprefix("module."): tensor.detach() for name, tensor in tensors.items()}


def _holds_plain_numbers(tensor: Tensor) -> bool:
    plain = tensor.layout is torch.strided and not (tensor.is_meta or tensor.is_quantized)
    return plain and not tensor.is_complex()


def match_tensors(source: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Matched:
    """Find the tensors of a network in those of a file.

    By their names; or, where not one name is the same, in their order, if all shapes agree and the
    file has besides at most the weight and bias of a last layer. Counters of batch norm
    (`num_batches_tracked`) may be missing.

    Args:
        source: Tensors of the file.
        wanted: Tensors of the network without its last layer.

    Raises:
        UserError: A tensor is missing, has another shape, or holds whole numbers.
    """
    needed = {name: tensor for name, tensor in wanted.items() if not name.endswith(_COUNTER)}
    given = {name: tensor for name, tensor in source.items() if not name.endswith(_COUNTER)}
    if not needed.keys() & given.keys():
        return _by_order(given, needed, wanted)
    for name, tensor in needed.items():
        if name not in given:
            raise UserError(
                f"backbone.weights: the file has no tensor {name}: it is of another network than "
                "backbone.name says."
            )
        if given[name].shape != tensor.shape:
            raise UserError(
                f"backbone.weights: the tensor {name} has the shape {_shape(given[name])} in the "
                f"file and {_shape(tensor)} in the network: it is of another network than "
                "backbone.name says."
            )
    tensors = {name: source.get(name, tensor) for name, tensor in wanted.items()}
    _check_types(tensors, wanted)
    left = {name: tensor for name, tensor in given.items() if name not in needed}
    return Matched(tensors, left, f"{len(needed)} tensors by their names, {len(left)} left out")


def _by_order(
    given: Mapping[str, Tensor], needed: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> Matched:
    values, left = list(given.values()), len(given) - len(needed)
    shapes = [tensor.shape for tensor in values[: len(needed)]]
    if not 0 <= left <= 2 or shapes != [tensor.shape for tensor in needed.values()]:
        raise UserError(
            f"backbone.weights: the file has {len(given)} tensors with other names and shapes than "
            f"the {len(needed)} of the network: it is of another network than backbone.name says."
        )
    found = dict(zip(needed, values, strict=False))
    how = f"{len(found)} tensors by their order, since all names differ and all shapes agree"
    tensors = {name: found.get(name, tensor) for name, tensor in wanted.items()}
    _check_types(tensors, wanted)
    return Matched(tensors, dict([*given.items()][len(needed) :]), how)


def _check_types(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        if tensor.is_floating_point() and not found[name].is_floating_point():
            raise UserError(
                f"backbone.weights: the tensor {name} holds {_type(found[name])} in the file and "
                f"{_type(tensor)} in the network: save the weights as floating-point numbers."
            )


def last_layer(left_out: Mapping[str, Tensor], features: int) -> PretrainedHead | None:
    """Return the last layer of the pretrained network, which `match_tensors` leaves out.

    None where it is no single linear layer on the features: no matrix or more than one takes them,
    something stands between (a batch norm, which has a tensor for each feature), or the layer's
    outputs go into another one. None, too, where it has no two classes or numbers that are not
    finite. A convolution of 1x1 is a linear layer. Where its matrix is all that is left, it has no
    bias (torchvision's MaxViT).
    """
    left = {
        name: tensor[:, :, 0, 0] if tensor.shape[2:] == (1, 1) else tensor
        for name, tensor in left_out.items()
    }
    weights = [
        name
        for name, tensor in left.items()
        if name.endswith("weight") and tensor.shape[1:] == (features,)
    ]
    if len(weights) != 1:
        return None
    (name,) = weights
    weight, bias = left[name], left.get(name.removesuffix("weight") + "bias")
    if len(left) == 1:
        bias = torch.zeros(len(weight))
    if bias is None or bias.shape != weight.shape[:1]:
        return None
    others = [one.shape for one in left.values() if one is not weight and one is not bias]
    if (features,) in others or any(shape[1:] == bias.shape for shape in others):
        return None
    if len(bias) < 2 or not all(one.isfinite().all() for one in (weight, bias)):
        return None
    # The file may hold the matrix by columns, and safetensors writes the bytes as they lie.
    return PretrainedHead(*(one.float().contiguous().numpy() for one in (weight, bias)))


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
