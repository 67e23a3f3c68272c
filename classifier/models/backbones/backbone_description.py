"""Describe a backbone: how its pretrained weights expect images. Imports PyTorch only if needed."""

from typing import NamedTuple

from classifier.core.addresses import shown_address
from classifier.models.backbones.backbone_params import OWN_FEATURES, TIMM, BackboneParams
from classifier.processing.spec import BackboneSpec

# The files of the folder data/backbone.
WEIGHTS, HEAD, DESCRIPTION = "backbone.safetensors", "head.safetensors", "backbone.json"
# The name, in the file of weights, of the list of tensors that are no parameters.
BUFFERS = "buffers"
# Of pretrained weights for which nobody says otherwise, in 0..255.
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Preparation(NamedTuple):
    """How images were prepared when pretrained weights were trained.

    Attributes:
        mean: Of each channel, in 0..255.
        std: Of each channel, in 0..255.
        input_size: Side of the images in pixels; None where any will do.
        interpolation: How images were scaled, such as `bilinear`; None where unknown.
        licence: Of the pretrained weights; None where unknown.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: int | None
    interpolation: str | None
    licence: str | None


def describe_backbone(params: BackboneParams) -> BackboneSpec:
    """Return the description of a backbone, without what only its file of weights tells.

    Raises:
        UserError: The name is unknown.
    """
    if params.name in OWN_FEATURES:
        known = Preparation(IMAGENET_MEAN, IMAGENET_STD, None, None, None)
    elif params.name.startswith(TIMM):
        from classifier.models.backbones.timm_backbones import prepared_by_timm  # noqa: PLC0415

        known = prepared_by_timm(params.name.removeprefix(TIMM))
    else:
        from classifier.models.backbones.torchvision_backbones import prepared_by_torchvision  # noqa: PLC0415

        weights = params.weights if params.kind == "torchvision" else None
        known = prepared_by_torchvision(params.name, weights)
    return BackboneSpec(
        name=params.name,
        weights=None if params.weights is None else shown_address(params.weights),
        licence=known.licence if params.weights is not None else None,
        mean=_three(known.mean),
        std=_three(known.std),
        input_size=known.input_size,
        interpolation=known.interpolation,
    )


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
