"""The image models of timm, without their last layer (https://huggingface.co/docs/timm)."""

from contextlib import suppress
from difflib import get_close_matches
from os.path import commonpath
from typing import Any

from torch import nn

from classifier.core.errors import UserError
from classifier.models.backbones.backbone_description import Preparation
from classifier.models.backbones.deferred_compiler import deferred_compiler

with deferred_compiler():
    import timm
    from timm.models import PretrainedCfg, group_parameters

# Families that no exported file can hold, and why: seen with ONNX Runtime 1.31.1
# (benchmarks/backbones.py).
_NOT_EXPORTED = {"crossvit": "ONNX Runtime cannot run the cubic resizing in it"}

# Parts of the names, or tags, of models that were trained with texts, as CLIP was.
_WITH_TEXTS = ("clip", "siglip", "mci", "pe_core", "vitamin")


def build_timm(name: str, *, pretrained: bool, input_size: int) -> tuple[nn.Module, int]:
    """Build timm's model `name` with random weights; return it and its number of features.

    The classifier is left out the way timm does it, and features are pooled as the model does.
    A network of a fixed size is made for `input_size`.

    Raises:
        UserError: timm has no such model, or one that gives no features.
    """
    del pretrained  # timm's networks are the same with and without
    pretrained_cfg(name)
    options: dict[str, Any] = {"img_size": input_size} if _has_fixed_size(name) else {}
    backbone = timm.create_model(name, pretrained=False, num_classes=0, **options)
    width = backbone.head_hidden_size
    assert isinstance(width, int)
    return backbone, width


def prepared_by_timm(name: str) -> Preparation:
    """Return how the pretrained weights expect images, as the `pretrained_cfg` says."""
    config = pretrained_cfg(name)
    return Preparation(
        tuple(round(255 * value, 6) for value in config.mean),
        tuple(round(255 * value, 6) for value in config.std),
        config.input_size[-1],
        config.interpolation,
        config.license,
    )


def pretrained_cfg(name: str) -> PretrainedCfg:
    """Return timm's configuration of a model.

    Raises:
        UserError: timm has no such model, or it cannot be exported, which is better known before
            training than after it.
    """
    architecture = name.partition(".")[0]
    config = None
    if timm.is_model(architecture):
        with suppress(RuntimeError):  # a model without the part after the dot
            config = timm.get_pretrained_cfg(name)
    if config is None:
        close = get_close_matches(architecture, timm.list_models(), n=5)
        hint = f"; similar names are {', '.join(close)}" if close else ""
        raise UserError(
            f"backbone.name 'timm/{name}' is unknown{hint}: `timm.list_models()` has all of them."
        )
    family = timm.model_entrypoint(architecture).__module__.rpartition(".")[2]
    if family in _NOT_EXPORTED:
        raise UserError(
            f"backbone.name: timm/{name} cannot be exported ({_NOT_EXPORTED[family]}), and predict "
            "and serve need an exported file: choose another backbone."
        )
    return config


def projects_onto_texts(name: str) -> bool:
    """Return whether the last layer gives an embedding that is compared with texts, no classes.

    Such models that were fine-tuned for classes afterwards (`_ft_in1k`) give classes.
    """
    whole = f"{name.partition('.')[0]}.{pretrained_cfg(name).tag}"
    return any(part in whole for part in _WITH_TEXTS) and "ft_in" not in whole


def layers_of_timm(backbone: nn.Module) -> dict[str, str]:
    """Return the name of the layer of each weight, in the order of the forward pass.

    Layers are the groups of the model's `group_matcher`, as in timm's own layer decay. A layer has
    the name of the module that holds its matrices, such as `blocks.3`; where that is the whole
    network, or holds another layer too, it is `layer_` and its number.
    """
    matcher: Any = backbone.group_matcher
    groups: dict[int, list[str]] = group_parameters(backbone, matcher(coarse=False))
    layers: dict[str, str] = {}
    for number, weights in groups.items():
        matrices = [name for name in weights if backbone.get_parameter(name).ndim > 1] or weights
        folders = [name.rpartition(".")[0].replace(".", "/") for name in matrices]
        module = commonpath(folders).replace("/", ".")
        name = f"layer_{number}" if not module or module in layers.values() else module
        layers |= dict.fromkeys(weights, name)
    return layers


def _has_fixed_size(name: str) -> bool:
    return bool(timm.get_pretrained_cfg_value(name, "fixed_input_size"))
