"""A small convolutional network for small images, trained from scratch in seconds."""

from torch import nn

from classifier.models.backbones.backbone_params import OWN_FEATURES


class CompactNet(nn.Sequential):
    """Three blocks of two 3x3 convolutions, halved in between, then the mean over all places.

    `(N, 3, H, W)` with H and W of at least 4 → `(N, features)`.
    """

    features = OWN_FEATURES["compact"]

    def __init__(self) -> None:
        super().__init__(
            _block(3, 32),
            nn.MaxPool2d(2),
            _block(32, 64),
            nn.MaxPool2d(2),
            _block(64, self.features),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
