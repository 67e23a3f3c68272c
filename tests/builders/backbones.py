"""Backbones for tests: their descriptions, and random weights in place of pretrained ones."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from classifier.core.files import sha256_of
from classifier.models.backbones.architectures import build_architecture
from classifier.models.backbones.backbone_params import BackboneParams
from classifier.models.weights.pretrained import write_backbone
from classifier.processing.spec import BackboneSpec

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# A small network of torchvision.
SMALL = "shufflenet_v2_x0_5"


def backbone_params(name: str = "compact", **changes: Any) -> BackboneParams:
    return BackboneParams.model_validate(
        {"name": name, "weights": None, "checksum": None} | changes
    )


def backbone_spec(
    name: str = "compact", *, pretrained: bool = False, **changes: Any
) -> BackboneSpec:
    """The description of a network, with or without weights that are nowhere."""
    weights = "torchvision:IMAGENET1K_V1" if pretrained else None
    return BackboneSpec(name=name, weights=weights, mean=MEAN, std=STD).model_copy(update=changes)


def random_weights(
    file: Path, name: str = SMALL, *, input_size: int = 224, classes: int = 0
) -> BackboneParams:
    """Write a file of random weights of a network, and return the params that name it.

    classes: of its last layer; 0 for none.
    """
    torch.manual_seed(5)
    network, features = build_architecture(name, pretrained=True, input_size=input_size)
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    if classes:
        # Large, since features of random weights hardly differ between images.
        weight = 3e4 * torch.randn(classes, features)
        tensors |= {"fc.weight": weight, "fc.bias": torch.randn(classes)}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
    return backbone_params(name, weights=str(file), checksum=f"sha256:{sha256_of(file)}")


def write_random_backbone(project: Path, name: str = SMALL) -> dict[str, torch.Tensor]:
    """Write data/backbone of a project with random weights; return these."""
    params = random_weights(project / "weights.safetensors", name)
    write_backbone(params, project / "data/backbone")
    torch.manual_seed(5)
    network, _ = build_architecture(name, pretrained=True, input_size=224)
    return network.state_dict()
