"""The classification models of torchvision, without their last layer."""

from pickle import UnpicklingError
from urllib.error import URLError

import torch
import torchvision
from torch import nn

from classifier.core.errors import UserError
from classifier.models.adaptive_pool import replace_adaptive_pools


def build_backbone(
    name: str, *, weights: str | None, load_weights: bool, small_stem: bool, input_size: int
) -> tuple[nn.Module, int]:
    """Build torchvision's model `name` for this input size; return it and its number of features.

    weights: torchvision's name of the pretrained weights that the network has; with load_weights
    False they are not read, but the network is made as if they were.
    Raises UserError for an unknown name and where weights cannot be downloaded; AssertionError or
    ValueError, as torchvision does, where a transformer cannot take images of side `input_size`.
    """
    _check_names(name, weights)
    try:
        if weights is not None and load_weights:
            backbone = torchvision.models.get_model(name, weights=weights)
        else:
            options = _options(name, pretrained=weights is not None, input_size=input_size)
            backbone = torchvision.models.get_model(name, weights=None, **options)
    except URLError as error:
        raise UserError(
            f"The pretrained weights of {name} cannot be downloaded ({error.reason}): "
            "connect to the network, point TORCH_HOME at a folder that holds them, "
            "or set train.model.weights: null."
        ) from None
    except (RuntimeError, EOFError, UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"The pretrained weights of {name} cannot be read ({reason}): delete their file in "
            f"{torch.hub.get_dir()}/checkpoints, so that they are downloaded again."
        ) from None
    _remove_auxiliary_heads(backbone)
    replace_adaptive_pools(backbone)
    if small_stem:
        _shrink_stem(backbone, name)
    return backbone, _remove_last_layer(backbone)


def backbone_names() -> list[str]:
    """Return the names of all classification models of torchvision."""
    return torchvision.models.list_models(module=torchvision.models)


def _check_names(name: str, weights: str | None) -> None:
    if name not in backbone_names():
        known = ", ".join(["compact", *backbone_names()])
        raise UserError(f"train.model.backbone {name!r} is unknown; choose one of {known}.")
    known = [entry.name for entry in torchvision.models.get_model_weights(name)]
    if weights is not None and weights not in known:
        raise UserError(
            f"train.model.weights {weights!r} are not offered for {name}; "
            f"choose null or one of {', '.join(known)}."
        )


def _options(name: str, *, pretrained: bool, input_size: int) -> dict[str, object]:
    """Return keyword arguments that some models need when built without loading weights."""
    if name in ("googlenet", "inception_v3"):
        # Pretrained weights expect a normalisation that the network itself changes to.
        return {"transform_input": pretrained, "init_weights": not pretrained}
    if name.startswith("vit_"):
        return {"image_size": input_size}
    if name == "maxvit_t":
        return {"input_size": (input_size, input_size)}
    return {}


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


def _shrink_stem(backbone: nn.Module, name: str) -> None:
    """Keep small images from vanishing: a first layer of 3x3 and stride 1, and no pooling.

    He et al., arXiv 1512.03385, section 4.2, use such a first layer for CIFAR-10.
    """
    stem_name, stem = next(
        (name, module) for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d)
    )
    if stem.stride == (1, 1) or stem.kernel_size[0] not in (3, 7):
        raise UserError(
            f"train.model.stem: small does not fit {name}, whose first layer is "
            f"{stem.kernel_size[0]}x{stem.kernel_size[1]} with stride {stem.stride[0]}; "
            "set stem: standard."
        )
    smaller = nn.Conv2d(
        stem.in_channels, stem.out_channels, 3, padding=1, bias=stem.bias is not None
    )
    nn.init.kaiming_normal_(smaller.weight, mode="fan_out", nonlinearity="relu")
    backbone.set_submodule(stem_name, smaller)
    for pool_name in ("maxpool", "features.pool0"):
        if any(name == pool_name for name, _ in backbone.named_modules()):
            backbone.set_submodule(pool_name, nn.Identity())
