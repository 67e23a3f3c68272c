"""Networks with random weights, and what two steps of training change in them."""

from typing import Any

import torch
from torch import Tensor

from builders.backbones import backbone_spec
from builders.tiny import tiny_params
from classifier.models.backbones.backbone_description import IMAGENET_MEAN, IMAGENET_STD
from classifier.models.network import Classifier, ModelParams, build_classifier


def model_params(**changes: Any) -> ModelParams:
    return tiny_params(model=changes).model


def build(
    *, backbone: str = "compact", pretrained: bool = False, input_size: int = 32, **changes: Any
) -> Classifier:
    """A network with random weights, the same in every call."""
    torch.manual_seed(0)
    return build_classifier(
        model_params(**changes),
        backbone_spec(backbone, pretrained=pretrained),
        classes=5,
        input_size=input_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def noise_images(count: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


def train_steps(model: Classifier, images: Tensor) -> dict[str, Tensor]:
    """Train `model` for two steps; return its state from before."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], 0.1)
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()
    return before


def moved(model: Classifier, before: dict[str, Tensor]) -> set[str]:
    after = model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}
