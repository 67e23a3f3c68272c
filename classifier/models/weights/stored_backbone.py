"""Read data/backbone, and keep a frozen backbone without building its network.

If the features of all images are in the cache folder, a training run needs the weights of the
backbone for the bundle and for the features' key, but not the network. So it imports neither
torchvision nor timm, which takes longer than the training.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn

from classifier.core.errors import UserError, first_line
from classifier.core.files import sha256_of, write_bytes
from classifier.models.backbones.backbone_description import BUFFERS, DESCRIPTION, HEAD, WEIGHTS
from classifier.processing.spec import BackboneSpec
from classifier.processing.travelling import first_problem

# The name, in the file of the last layer, of the SHA-256 of the weights that it belongs to.
_BELONGS_TO = "backbone"


class PretrainedHead(NamedTuple):
    """The last layer of a pretrained network: logits are `features @ weight.T + bias`.

    Attributes:
        weight: float32 `(m, features)` for m classes.
        bias: float32 `(m,)`.
    """

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class StoredWeights:
    """The tensors of pretrained weights by their names in the network without its last layer."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of them."""
        return self.parameters | self.buffers


def read_backbone(folder: Path) -> tuple[BackboneSpec, StoredWeights | None]:
    """Return what the backbone stage has written; no weights where they are to be random.

    Raises:
        UserError: A file is missing or damaged.
    """
    try:
        spec = BackboneSpec.model_validate_json((folder / DESCRIPTION).read_bytes())
        if spec.weights is None:
            return spec, None
        weights = _read_weights(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename or folder / WEIGHTS} is missing: run `dvc repro backbone`, or fetch "
            "it with `dvc pull data/backbone`."
        ) from None
    except ValidationError as error:
        raise _damaged(folder, first_problem(error)) from None
    except SafetensorError as error:
        raise _damaged(folder, first_line(error)) from None
    if sha256_of(folder / WEIGHTS) != spec.sha256:
        raise _damaged(folder, f"{WEIGHTS} is not the file that {DESCRIPTION} describes")
    return spec, weights


def _read_weights(path: Path) -> StoredWeights:
    with safe_open(path, "pt") as file:
        buffers = set((file.metadata() or {}).get(BUFFERS, "").split())
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    return StoredWeights(
        {name: tensor for name, tensor in tensors.items() if name not in buffers},
        {name: tensor for name, tensor in tensors.items() if name in buffers},
    )


def save_head(head: PretrainedHead | None, folder: Path) -> None:
    """Write the last layer of the weights in `folder`; without one the file holds no tensors."""
    tensors = {} if head is None else head._asdict()
    belongs_to = {_BELONGS_TO: sha256_of(folder / WEIGHTS)}
    write_bytes(folder / HEAD, save(tensors, metadata=belongs_to))


def read_head(folder: Path, spec: BackboneSpec) -> PretrainedHead | None:
    """Return the last layer that pretrained weights came with; None where none can be used.

    Args:
        folder: data/backbone.
        spec: Of the model's backbone.

    Raises:
        UserError: The file is missing, damaged, or of other weights than the model's.
    """
    if spec.weights is None:
        return None
    try:
        with safe_open(folder / HEAD, "np") as file:
            belongs_to = (file.metadata() or {}).get(_BELONGS_TO)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        head = PretrainedHead(**tensors) if tensors else None
    except FileNotFoundError:
        raise UserError(
            f"{folder / HEAD} is missing: run `dvc repro backbone`, or fetch it with `dvc pull "
            "data/backbone`."
        ) from None
    except (SafetensorError, TypeError) as error:
        raise _damaged(folder, first_line(error)) from None
    if belongs_to != spec.sha256:
        raise UserError(
            f"{folder} holds other pretrained weights than those that the model was trained with: "
            "run `dvc repro`."
        )
    return head


def _damaged(folder: Path, reason: str) -> UserError:
    return UserError(
        f"{folder} holds no readable backbone ({reason}): run `dvc repro --force backbone`, or "
        "`dvc checkout data/backbone`."
    )


class StoredBackbone(nn.Module):
    """Weights by their names in a network, none of them trained.

    It has no public names of its own, which could be those of a network's parts (`build_stored`).

    build: Returns the network with these weights and buffers.
    """

    def __init__(
        self, weights: StoredWeights, build: Callable[[Mapping[str, Tensor]], nn.Module]
    ) -> None:
        super().__init__()
        for name, tensor in weights.parameters.items():
            parameter = nn.Parameter(tensor, requires_grad=False)
            _inside(self, name).register_parameter(name.split(".")[-1], parameter)
        for name, tensor in weights.buffers.items():
            _inside(self, name).register_buffer(name.split(".")[-1], tensor)
        self._build = build


def build_stored(backbone: StoredBackbone) -> nn.Module:
    """Return the network itself, with these weights, in evaluation mode.

    Raises:
        UserError: It cannot take the images that it is built for, or its weights are for images of
            another size.
    """
    network = backbone._build(backbone.state_dict())
    some = next(backbone.parameters())
    return network.to(some.device).eval()


def restore_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set all weights and buffers; raise RuntimeError where they are those of another network.

    Some layers (MNASNet's) ask which version of them the tensors are of, which a plain mapping
    does not say: they are of this one.
    """
    state = network.state_dict()
    state.clear()
    state.update(tensors)
    network.load_state_dict(state)


def _inside(root: nn.Module, name: str) -> nn.Module:
    """Return the module that holds the tensor of this name; create it where it is missing."""
    for part in name.split(".")[:-1]:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    return root
