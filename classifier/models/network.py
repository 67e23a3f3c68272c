"""Build the network: a backbone and a new head, and freeze some of its layers.

A `Classifier` takes images as they are stored, `(N, H, W, 3)` in 0..255, and normalises them
itself, so training, evaluation and every exported file share one normalisation.
"""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from classifier.core.config import Params
from classifier.core.errors import UserError
from classifier.data.stored_images import Images
from classifier.models.backbones.airbench import AirbenchNet
from classifier.models.backbones.architectures import build_architecture, try_images
from classifier.models.backbones.backbone_params import OWN_FEATURES
from classifier.models.backbones.small_stem import shrink_stem
from classifier.models.weights.stored_backbone import StoredBackbone, StoredWeights, restore_weights
from classifier.processing.spec import BackboneSpec

_PATCH_PIXELS = 5000 * 32 * 32


class HeadParams(Params):
    """Section `train.model.head`: linear, or hidden layer + ReLU, with dropout before the end."""

    hidden: int | None = Field(ge=1, le=65_536)
    dropout: float = Field(ge=0, lt=1)


class ModelParams(Params):
    """Section `train.model`."""

    stem: Literal["standard", "small"]
    freeze: str
    head: HeadParams
    normalize: Literal["pretrained", "dataset"]

    @field_validator("normalize", mode="before")
    @classmethod
    def _name_of_today(cls, value: object) -> object:
        if value == "imagenet":
            raise ValueError("train.model.normalize: imagenet is now pretrained.")
        return value

    @model_validator(mode="after")
    def _first_layer_is_not_kept_random(self) -> Self:
        if self.freeze != "none" and self.stem == "small":
            raise ValueError(
                "train.model.stem: small puts a new first layer in, which train.model.freeze would "
                "keep random; set train.model.freeze: none or train.model.stem: standard."
            )
        return self


class Classifier(nn.Module):
    """Images uint8 or float `(N, H, W, 3)` in 0..255 → logits `(N, classes)`.

    mean, std: of each channel, in 0..255. architecture: name of the backbone and of its stem, since
    networks with the same weights may compute other features.
    """

    architecture = ""
    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self._frozen: list[nn.Module] = []

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, float `(N, classes)`, of images `(N, H, W, 3)` in 0..255."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Return the input of the head: float `(N, features)`."""
        return self.backbone(self.normalize(images))

    def normalize(self, images: Tensor) -> Tensor:
        """Return images as the backbone takes them: float `(N, 3, H, W)`, about zero."""
        normalized = (images.to(self.mean.dtype) - self.mean) / self.std
        # Seen as (N, 3, H, W), these bytes are already in PyTorch's channels-last order.
        return normalized.permute(0, 3, 1, 2)

    @property
    def backbone_is_frozen(self) -> bool:
        """Whether the whole backbone is frozen, so that its features never change."""
        return not any(weight.requires_grad for weight in self.backbone.parameters())

    def freeze(self, until: str) -> None:
        """Stop training the backbone: all of it (`backbone`), or up to and including a module.

        `until` is a module's name as torchvision has it, such as `layer3` or `features.5`.
        Frozen batch norm keeps its statistics and frozen dropout is off, also in training.
        """
        leaves = [
            (name, module) for name, module in self.backbone.named_modules() if not _parts(module)
        ]
        inside = [i for i, (name, _) in enumerate(leaves) if f"{name}.".startswith(f"{until}.")]
        if until == "backbone":
            inside = [len(leaves) - 1]
        if not inside:
            known = ", ".join(name for name, _ in self.backbone.named_children())
            raise UserError(
                f"train.model.freeze: the backbone has no module {until!r}; "
                f"none, backbone, or one of {known} (or a module inside)."
            )
        fixed = {id(module) for _, module in leaves[: inside[-1] + 1]}
        self._frozen = [
            module
            for module in self.backbone.modules()
            if all(id(part) in fixed for part in module.modules() if not _parts(part))
        ]
        for module in self._frozen:
            module.requires_grad_(False)
        for module in self.backbone.modules():
            # Weights of its own, such as the class token, come before those of its parts.
            first = next(part for part in module.modules() if not _parts(part))
            if id(first) in fixed:
                for weight in module.parameters(recurse=False):
                    weight.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen modules stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


def _parts(module: nn.Module) -> list[nn.Module]:
    return list(module.children())


def build_classifier(
    params: ModelParams,
    backbone: BackboneSpec,
    *,
    classes: int,
    input_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    weights: StoredWeights | None = None,
) -> Classifier:
    """Build the network that `params` and `backbone` describe, for images of side `input_size`.

    weights: of the backbone; None for random ones, as for a model that is filled from a bundle.

    Raises:
        UserError: The parts do not fit each other, or the images do not fit the network.
    """
    check_parts(params, backbone)
    network, features = _build_backbone(params, backbone, input_size, weights)
    model = Classifier(
        network, _build_head(params.head, features, classes), torch.tensor(mean), torch.tensor(std)
    )
    model.architecture = f"{backbone.name} {params.stem}"
    if params.freeze != "none":
        model.freeze(params.freeze)
    return model.to(memory_format=torch.channels_last)


def check_parts(params: ModelParams, backbone: BackboneSpec) -> None:
    """Raise UserError where `train.model` asks for what the backbone does not have."""
    if backbone.name in OWN_FEATURES and params.stem == "small":
        raise UserError(
            f"backbone.name: {backbone.name} is made for small images; set train.model.stem: "
            "standard."
        )
    if params.freeze != "none" and backbone.weights is None:
        raise UserError(
            "train.model.freeze without pretrained weights would keep random layers; "
            "set backbone.weights, or train.model.freeze: none."
        )


def check_freeze(model: Classifier, params: ModelParams) -> None:
    """Raise UserError where a module's name freezes the whole backbone.

    Params that do not fit a frozen backbone are refused beside `freeze: backbone` alone.
    """
    if params.freeze != "backbone" and model.backbone_is_frozen:
        raise UserError(
            f"train.model.freeze: {params.freeze} leaves no layer of the backbone to train: set "
            "train.model.freeze: backbone, or name an earlier module."
        )


def learn_from_images(model: Classifier, images: Images, rows: np.ndarray) -> None:
    """Set what a network takes from the training images before it is trained.

    images: uint8 `(N, S, S, 3)`; a part of `rows` is used.
    """
    if isinstance(model.backbone, AirbenchNet):
        wanted = max(1, _PATCH_PIXELS // images[0, :, :, 0].size)
        step = -(-len(rows) // wanted)
        chosen = torch.from_numpy(images[rows[::step]]).to(model.mean.device)
        model.backbone.learn_patches(model.normalize(chosen))


def check_input_size(model: Classifier, name: str, input_size: int) -> None:
    """Raise UserError unless the network can take images of side `input_size`."""
    images = torch.zeros(1, input_size, input_size, 3, device=model.mean.device)
    try_images(model, images, name)


def _build_head(params: HeadParams, features: int, classes: int) -> nn.Module:
    if params.hidden is None:
        return nn.Sequential(nn.Dropout(params.dropout), nn.Linear(features, classes))
    return nn.Sequential(
        nn.Linear(features, params.hidden),
        nn.ReLU(),
        nn.Dropout(params.dropout),
        nn.Linear(params.hidden, classes),
    )


def _build_backbone(
    params: ModelParams, backbone: BackboneSpec, input_size: int, weights: StoredWeights | None
) -> tuple[nn.Module, int]:
    """Return the backbone without its last layer, and the number of its features."""
    if weights is None:
        return _build(params, backbone, input_size)
    if params.freeze == "backbone" and backbone.features is not None:
        stored = StoredBackbone(
            weights, lambda tensors: _tried(params, backbone, input_size, tensors)
        )
        return stored, backbone.features
    # The head's random weights must not depend on what was drawn to build the backbone.
    with torch.random.fork_rng(devices=[]):
        return _build(params, backbone, input_size, weights.tensors)


def _build(
    params: ModelParams,
    backbone: BackboneSpec,
    input_size: int,
    tensors: Mapping[str, Tensor] | None = None,
) -> tuple[nn.Module, int]:
    pretrained = backbone.weights is not None
    network, features = build_architecture(
        backbone.name, pretrained=pretrained, input_size=input_size
    )
    if tensors is not None:
        _restore(network, tensors, backbone, input_size)
    if params.stem == "small":
        shrink_stem(network, backbone.name)
    return network, features


def _restore(
    network: nn.Module, tensors: Mapping[str, Tensor], backbone: BackboneSpec, input_size: int
) -> None:
    try:
        restore_weights(network, tensors)
    except RuntimeError:
        raise UserError(
            f"backbone.name: the pretrained weights of {backbone.name} are for images of "
            f"{backbone.input_size}x{backbone.input_size}, and the network is built for "
            f"{input_size}x{input_size}: set train.input_size: {backbone.input_size}, and "
            "split.stored_size to at least that."
        ) from None


def _tried(
    params: ModelParams, backbone: BackboneSpec, input_size: int, tensors: Mapping[str, Tensor]
) -> nn.Module:
    """Return the backbone with these weights, tried with images of side `input_size`."""
    network, _ = _build(params, backbone, input_size, tensors)
    try_images(network, torch.zeros(1, 3, input_size, input_size), backbone.name)
    return network
