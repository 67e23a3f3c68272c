"""Build a backbone by its name, without its last layer."""

import torch
from torch import nn

from classifier.core.errors import UserError, first_line
from classifier.models.backbones.airbench import AirbenchNet
from classifier.models.backbones.backbone_params import OWN_FEATURES, TIMM
from classifier.models.backbones.compact_cnn import CompactNet

_OWN = {"compact": CompactNet, "airbench": AirbenchNet}


def build_architecture(name: str, *, pretrained: bool, input_size: int) -> tuple[nn.Module, int]:
    """Build the backbone with random weights; return it and the number of its features.

    Args:
        name: As in `backbone.name`.
        pretrained: Make the network as if it had pretrained weights, which some change.
        input_size: Side of the images in pixels.

    Raises:
        UserError: The name is unknown, or the network cannot take images of this size.
    """
    if name in _OWN:
        return _OWN[name](), OWN_FEATURES[name]
    # Importing torchvision or timm takes seconds, which other networks need not wait for.
    if name.startswith(TIMM):
        from classifier.models.backbones.timm_backbones import build_timm  # noqa: PLC0415

        build = build_timm
    else:
        from classifier.models.backbones.torchvision_backbones import build_torchvision  # noqa: PLC0415

        build = build_torchvision
    try:
        return build(name.removeprefix(TIMM), pretrained=pretrained, input_size=input_size)
    except UserError:
        raise
    except (AssertionError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise wrong_size(name, input_size, error) from None


def try_images(network: nn.Module, images: torch.Tensor, name: str) -> None:
    """Raise UserError unless the network can take these images, whose third side is their width."""
    network.eval()
    try:
        with torch.no_grad():
            network(images)
    except (RuntimeError, AssertionError, ValueError, ZeroDivisionError, IndexError) as error:
        raise wrong_size(name, images.shape[2], error) from None


def wrong_size(name: str, input_size: int, error: Exception) -> UserError:
    """Return the sentence for a network that cannot take images of this size."""
    reason = first_line(error)
    return UserError(
        f"backbone.name: {name} cannot take images of {input_size}x{input_size} ({reason}); "
        "change train.input_size and split.stored_size, or choose another backbone."
    )
