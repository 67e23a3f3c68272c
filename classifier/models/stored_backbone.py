"""Store a frozen torchvision backbone, and build it only when it has to compute.

If the features of all images are in the cache folder, a training run needs the weights of the
backbone for the bundle and for the features' key, but not the network. So it does not import
torchvision, which takes longer than the training.
"""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from classifier.core.cache import cache_folder, read_checked, write_checked
from classifier.core.code import code_digest
from classifier.core.versions import installed_versions

Build = Callable[[], tuple[nn.Module, int]]


class StoredBackbone(nn.Module):
    """Weights by their names in the network that `build` gives, none of them trained."""

    def __init__(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], build: Build):
        super().__init__()
        for name, tensor in parameters.items():
            parameter = nn.Parameter(tensor, requires_grad=False)
            _inside(self, name).register_parameter(name.split(".")[-1], parameter)
        for name, tensor in buffers.items():
            _inside(self, name).register_buffer(name.split(".")[-1], tensor)
        self._build = build

    def network(self) -> nn.Module:
        """Return the network itself, with these weights, in evaluation mode."""
        network, _ = self._build()
        network.load_state_dict(self.state_dict())
        some = next(self.parameters())
        return network.to(some.device).eval()


def stored_backbone(
    depends_on: dict[str, object], build: Build, rebuild: Build
) -> tuple[nn.Module, int]:
    """Return a backbone and the number of its features, from `build` or from the cache folder.

    depends_on: what the backbone is a function of. rebuild: as `build`, with any weights.
    """
    path = cache_folder("backbones") / f"{_name(depends_on, build)}.pt"
    content = read_checked(path)
    if content is not None:
        stored = torch.load(io.BytesIO(content), weights_only=True)
        return StoredBackbone(stored["parameters"], stored["buffers"], rebuild), stored["features"]
    backbone, features = build()
    # Now that the weights' file is there, if it was not before.
    path = path.with_name(f"{_name(depends_on, build)}.pt")
    buffer = io.BytesIO()
    stored = {
        "parameters": {name: tensor.detach() for name, tensor in backbone.named_parameters()},
        "buffers": dict(backbone.named_buffers()),
        "features": features,
    }
    torch.save(stored, buffer)
    write_checked(path, buffer.getvalue())
    return backbone, features


def _name(depends_on: dict[str, object], build: Build) -> str:
    """Return a name for all that the stored backbone depends on: 32 hexadecimal digits."""
    code = code_digest(__name__, build.__module__)
    versions = installed_versions("torch", "torchvision")
    described = json.dumps([depends_on, versions, _downloads(), code])
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def _downloads() -> list[tuple[str, int, int]]:
    """Return path, size and time of each file of downloaded weights."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _inside(root: nn.Module, name: str) -> nn.Module:
    """Return the module that holds the tensor of this name; create it where it is missing."""
    for part in name.split(".")[:-1]:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    return root
