"""The classification models of torchvision, without their last layer."""

from torch import nn

from classifier.core.errors import UserError
from classifier.models.backbones.adaptive_pool import replace_adaptive_pools
from classifier.models.backbones.backbone_description import Preparation
from classifier.models.backbones.backbone_params import OWN_FEATURES, TORCHVISION_WEIGHTS
from classifier.models.backbones.deferred_compiler import deferred_compiler

with deferred_compiler():
    import torchvision
    from torchvision.models import WeightsEnum

# MaxViT halves the size in its stem and in each of its four stages, and its windows have 7 places.
_MAXVIT_STEP = 7 * 2**5


def build_torchvision(name: str, *, pretrained: bool, input_size: int) -> tuple[nn.Module, int]:
    """Build torchvision's model `name` with random weights; return it and its number of features.

    Args:
        name: As torchvision has it.
        pretrained: Make the network as if pretrained weights were in it.
        input_size: Side of the images in pixels.

    Raises:
        UserError: The name is unknown, or the size is none that the network can take.
        AssertionError, ValueError: As torchvision does, where a transformer cannot take images of
            side `input_size`.
    """
    check_name(name)
    options = _options(name, pretrained=pretrained, input_size=input_size)
    backbone = torchvision.models.get_model(name, weights=None, **options)
    _remove_auxiliary_heads(backbone)
    replace_adaptive_pools(backbone)
    return backbone, _remove_last_layer(backbone)


def prepared_by_torchvision(name: str, weights: str | None) -> Preparation:
    """Return how pretrained weights of the model expect images.

    weights: As in `backbone.weights`; None for the model's default ones.

    Raises:
        UserError: The model or its weights are unknown.
    """
    transforms = torchvision_weights(name, weights).transforms()
    return Preparation(
        tuple(round(255 * value, 6) for value in transforms.mean),
        tuple(round(255 * value, 6) for value in transforms.std),
        transforms.crop_size[0],
        transforms.interpolation.value,
        "BSD-3-Clause",
    )


def torchvision_weights(name: str, weights: str | None) -> WeightsEnum:
    """Return torchvision's entry of the weights; None for the default ones.

    Raises:
        UserError: The model or its weights are unknown.
    """
    check_name(name)
    offered = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    if weights is None:
        return next(iter(offered.values()))
    chosen = offered.get(weights.removeprefix(TORCHVISION_WEIGHTS))
    if chosen is None:
        known = ", ".join(f"{TORCHVISION_WEIGHTS}{one}" for one in offered)
        raise UserError(
            f"backbone.weights {weights!r} are not offered for {name}; "
            f"choose null or one of {known}."
        )
    return chosen


def backbone_names() -> list[str]:
    """Return the names of all classification models of torchvision."""
    return torchvision.models.list_models(module=torchvision.models)


def check_name(name: str) -> None:
    """Raise UserError where torchvision has no such model."""
    if name not in backbone_names():
        known = ", ".join([*OWN_FEATURES, *backbone_names()])
        raise UserError(
            f"backbone.name {name!r} is unknown; choose one of {known}, or timm/ and a model of "
            "timm, such as timm/convnext_tiny."
        )


def _options(name: str, *, pretrained: bool, input_size: int) -> dict[str, object]:
    """Return keyword arguments that some models need when built without loading weights."""
    if name in ("googlenet", "inception_v3"):
        # Pretrained weights expect a normalisation that the network itself changes to.
        return {"transform_input": pretrained, "init_weights": not pretrained}
    if name.startswith("vit_"):
        return {"image_size": input_size}
    if name == "maxvit_t":
        _check_maxvit_size(input_size)
        return {"input_size": (input_size, input_size)}
    return {}


def _check_maxvit_size(input_size: int) -> None:
    """Raise UserError unless the windows of MaxViT fit: they have 7 places, in each of four halves.

    The stem halves the size too, and the last stage must have whole windows.
    """
    if input_size % _MAXVIT_STEP:
        near = max(1, input_size // _MAXVIT_STEP) * _MAXVIT_STEP
        raise UserError(
            f"backbone.name: maxvit_t cannot take images of {input_size}x{input_size}: set "
            f"train.input_size to a multiple of {_MAXVIT_STEP}, such as {near} or "
            f"{near + _MAXVIT_STEP}, and split.stored_size to at least that."
        )


def _remove_auxiliary_heads(backbone: nn.Module) -> None:
    """Remove the auxiliary heads of GoogLeNet and Inception, which only give logits."""
    off = {"aux_logits": False, "aux1": None, "aux2": None, "AuxLogits": None}
    for name, value in off.items():
        if hasattr(backbone, name):
            setattr(backbone, name, value)


def _remove_last_layer(backbone: nn.Module) -> int:
    """Replace the layer that gives the 1,000 ImageNet logits by nothing; return its input's size.

    It is the last linear layer, or in SqueezeNet the last convolution.
    """
    name, layer = [
        (name, module)
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ][-1]
    backbone.set_submodule(name, nn.Identity())
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
