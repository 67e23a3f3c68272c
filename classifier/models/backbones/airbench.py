"""A network that learns 32 x 32 images in eight to ten passes over them.

After airbench94 (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498): a
first layer that whitens patches and is not trained, convolutions that begin as the identity, batch
norm without scale, and maxima instead of means. It is meant for `train.optimizer.name: muon`.
"""

import torch
from torch import Tensor, nn

from classifier.models.backbones.backbone_params import OWN_FEATURES

_PATCH = 2
_WIDTHS = (64, 256, OWN_FEATURES["airbench"])
# Features of this size make the logits of a fresh head as small as the paper's.
_SCALE = 0.108
# Limits the amplification of directions in which patches hardly differ, which would be noise.
_SMALLEST_VARIANCE = 5e-4


class AirbenchNet(nn.Module):
    """Images normalised to `(N, 3, H, W)`, H and W of at least 16 → `(N, features)`."""

    features = _WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        values = 3 * _PATCH**2
        self.whiten = nn.Conv2d(3, 2 * values, _PATCH, bias=False).requires_grad_(False)
        widths = [2 * values, *_WIDTHS]
        blocks = [_block(*pair) for pair in zip(widths, _WIDTHS, strict=False)]
        self.blocks = nn.Sequential(nn.GELU(), *blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Return features, float `(N, features)`, of normalised images `(N, 3, H, W)`."""
        return self.blocks(self.whiten(images)).amax(dim=(2, 3)) * _SCALE

    @torch.no_grad()
    def learn_patches(self, images: Tensor) -> None:
        """Set the first layer to the principal directions of the images' patches, and back.

        Its outputs then are uncorrelated and of variance one. images: as `forward` takes them.
        """
        patches = nn.functional.unfold(images.float(), _PATCH).transpose(1, 2).flatten(0, 1)
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        scaled = directions.T / (variances + _SMALLEST_VARIANCE).sqrt()[:, None]
        filters = scaled.view(-1, 3, _PATCH, _PATCH)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, outputs),
        nn.MaxPool2d(2),
        _norm(outputs),
        nn.GELU(),
        _convolution(outputs, outputs),
        _norm(outputs),
        nn.GELU(),
    )


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a convolution that begins as the identity on its inputs (Dirac initialisation)."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:inputs])
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    layer.weight.requires_grad_(False)
    return layer
