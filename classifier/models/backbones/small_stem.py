"""A first layer for small images, in place of one that halves their size."""

from torch import nn

from classifier.core.errors import UserError


def shrink_stem(backbone: nn.Module, name: str) -> None:
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
