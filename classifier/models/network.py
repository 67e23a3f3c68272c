"""Build the network: a backbone and a new head, and freeze some of its layers.

A `Classifier` takes images as they are stored, `(N, H, W, 3)` in 0..255, and normalises them
itself, so training, evaluation and every exported file share one normalisation.
"""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from classifier.core.config import Params
from classifier.core.errors import UserError
from classifier.data.stored_images import Images
from classifier.models.airbench import AirbenchNet
from classifier.models.compact_cnn import CompactNet
from classifier.models.stored_backbone import stored_backbone

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Our own networks, which need no torchvision.
OWN = {"compact": CompactNet, "airbench": AirbenchNet}
_PATCH_PIXELS = 5000 * 32 * 32


class HeadParams(Params):
    """Section `train.model.head`: linear, or hidden layer + ReLU, with dropout before the end."""

    hidden: int | None = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)


class ModelParams(Params):
    """Section `train.model`."""

    backbone: str
    weights: str | None
    stem: Literal["standard", "small"]
    freeze: str
    head: HeadParams
    normalize: Literal["imagenet", "dataset"]

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.backbone == "whitened":
            raise ValueError("train.model.backbone: whitened is now airbench.")
        if self.backbone in OWN and (self.weights is not None or self.stem == "small"):
            raise ValueError(
                f"train.model.backbone: {self.backbone} has no pretrained weights and is made for "
                "small images; set train.model.weights: null and train.model.stem: standard."
            )
        if self.freeze != "none" and self.weights is None:
            raise ValueError(
                "train.model.freeze without pretrained weights would keep random layers; "
                "set train.model.weights, or train.model.freeze: none."
            )
        if self.freeze != "none" and self.stem == "small":
            raise ValueError(
                "train.model.stem: small puts a new first layer in, which train.model.freeze would "
                "keep random; set train.model.freeze: none or train.model.stem: standard."
            )
        return self


class Classifier(nn.Module):
    """Images uint8 or float `(N, H, W, 3)` in 0..255 → logits `(N, classes)`.

    mean, std: of each channel, in 0..255.
    """

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
    *,
    classes: int,
    input_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    load_weights: bool = True,
) -> Classifier:
    """Build the network that `params` describe, for images of side `input_size`.

    load_weights: False leaves pretrained weights out, for a model that is filled from a bundle.
    """
    backbone, features = _build_backbone(params, input_size, load_weights)
    model = Classifier(
        backbone, _build_head(params.head, features, classes), torch.tensor(mean), torch.tensor(std)
    )
    if params.freeze != "none":
        model.freeze(params.freeze)
    return model.to(memory_format=torch.channels_last)


def restore_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set all weights and buffers; raise RuntimeError where they are those of another network.

    Some layers (MNASNet's) ask which version of them the tensors are of, which a plain mapping
    does not say: they are of this one.
    """
    state = network.state_dict()
    state.clear()
    state.update(tensors)
    network.load_state_dict(state)


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
    _try(model, torch.zeros(1, input_size, input_size, 3, device=model.mean.device), name)


def _try(network: nn.Module, images: Tensor, name: str) -> None:
    network.eval()
    try:
        with torch.no_grad():
            network(images)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise _wrong_size(name, images.shape[2], error) from None


def _wrong_size(name: str, input_size: int, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(
        f"train.model.backbone: {name} cannot take images of {input_size}x{input_size} ({reason}); "
        "change train.input_size and split.stored_size, or choose another backbone."
    )


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
    params: ModelParams, input_size: int, load_weights: bool
) -> tuple[nn.Module, int]:
    """Return the backbone without its last layer, and the number of its features."""
    if params.backbone in OWN:
        return OWN[params.backbone](), OWN[params.backbone].features
    if params.weights is None or not load_weights:
        return _torchvision_backbone(params, input_size, load_weights)
    # The head's random weights must not depend on what was drawn to build the backbone.
    with torch.random.fork_rng(devices=[]):
        if params.freeze != "backbone":
            return _torchvision_backbone(params, input_size, load_weights)
        return stored_backbone(
            {"name": params.backbone, "weights": params.weights, "input_size": input_size},
            lambda: _tried_backbone(params, input_size),
            lambda: _torchvision_backbone(params, input_size, False),
        )


def _tried_backbone(params: ModelParams, input_size: int) -> tuple[nn.Module, int]:
    """Return the backbone with its weights, tried with images of side `input_size`."""
    backbone, features = _torchvision_backbone(params, input_size, True)
    _try(backbone, torch.zeros(1, 3, input_size, input_size), params.backbone)
    return backbone, features


def _torchvision_backbone(
    params: ModelParams, input_size: int, load_weights: bool
) -> tuple[nn.Module, int]:
    # Importing torchvision takes seconds, which our own networks need not wait for.
    from classifier.models.backbones import build_backbone  # noqa: PLC0415

    try:
        return build_backbone(
            params.backbone,
            weights=params.weights,
            load_weights=load_weights,
            small_stem=params.stem == "small",
            input_size=input_size,
        )
    except UserError:
        raise
    except (AssertionError, ValueError) as error:
        raise _wrong_size(params.backbone, input_size, error) from None
