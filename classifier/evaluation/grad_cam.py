"""Grad-CAM: image regions that support a class.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", arXiv 1610.02391.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from classifier.models.bundle import Bundle
from classifier.models.devices import missing_kernel
from classifier.models.network import Classifier

NO_PLACES = (
    "No heat maps: {backbone} does not end with a grid of places, as Grad-CAM needs it, or this "
    "device cannot compute its gradient twice alike."
)
# A coarser grid than this many places a side shows nothing.
_FEWEST = 4
# The last bits of a map may depend on how many are computed at once, so the number is fixed.
_AT_ONCE = 8


def heat_maps(bundle: Bundle, images: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Return heat maps of the regions that support a class.

    The maps are as coarse as the network's last feature map of at least 4x4 places, and
    interpolated between.

    Args:
        bundle: the trained model.
        images: uint8 `(N, input_size, input_size, 3)`.
        labels: the class to explain of each image, such as the predicted one, int `(N,)`.

    Returns:
        float32 `(N, input_size, input_size)` in 0..1, where the hottest place of a map has 1, or
        all have 0 where nothing supports the class. None (NO_PLACES says why) where the network
        ends with tokens, as vision transformers do, instead of a feature map.
    """
    side = images.shape[1]
    parts = [torch.zeros(0, side, side)]
    for start in range(0, len(images), _AT_ONCE):
        chosen = slice(start, start + _AT_ONCE)
        coarse = _coarse_maps(bundle.model, images[chosen], labels[chosen])
        if coarse is None:
            return None
        smooth = interpolate(coarse[:, None], (side, side), mode="bilinear")[:, 0]
        highest = smooth.amax(dim=(1, 2), keepdim=True)
        parts.append(smooth / torch.where(highest > 0, highest, 1))
    return torch.cat(parts).numpy()


def _coarse_maps(model: Classifier, images: np.ndarray, labels: np.ndarray) -> Tensor | None:
    """Return non-negative maps of the size of the last feature map: float32 `(n, h, w)`."""
    model.eval()
    with torch.enable_grad():
        inputs = model.normalize(torch.from_numpy(images).to(model.mean.device))
        # The gradient has to come this far, also where no layer is trained.
        places, features = _run_to_last_places(model.backbone, inputs.requires_grad_())
        if places is None or places.ndim != 4 or places.shape[2] != places.shape[3]:
            return None
        logits = model.head(features)
        chosen = torch.from_numpy(labels).to(logits.device)
        try:
            # No image's logits depend on another's, so one gradient serves all.
            (slopes,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), places)
        except RuntimeError as error:
            if missing_kernel(error):
                return None
            raise
    weights = slopes.mean(dim=(2, 3), keepdim=True)
    return (weights * places.detach()).sum(dim=1).relu().float().cpu()


def _run_to_last_places(backbone: nn.Module, inputs: Tensor) -> tuple[Tensor | None, Tensor]:
    """Run the backbone; return its last output with places, and its features `(n, features)`.

    The former is a feature map `(n, channels, h, w)`, or tokens, `(n, tokens, channels)` or
    `(n, h, w, channels)`. A feature map of square images is square.
    """
    last: list[Tensor] = []

    def remember(module: nn.Module, given: tuple[Tensor, ...], output: object) -> None:
        if isinstance(output, Tensor) and _has_places(output):
            # Before its linear layers VGG spreads few places over many.
            spread = isinstance(module, nn.AdaptiveAvgPool2d) and output.numel() > given[0].numel()
            last[:] = last if spread else [output]

    handles = [layer.register_forward_hook(remember) for layer in _in_a_row(backbone)]
    try:
        features = backbone(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return (last[0] if last else None), features


def _in_a_row(network: nn.Module) -> Iterator[nn.Module]:
    """Iterate over the layers that see the whole image, not a branch of the network."""
    for layer in network.children():
        yield layer
        if isinstance(layer, nn.Sequential | nn.ModuleList):
            yield from _in_a_row(layer)


def _has_places(output: Tensor) -> bool:
    if output.ndim == 3:
        return output.shape[1] >= _FEWEST**2
    return output.ndim == 4 and min(output.shape[2:]) >= _FEWEST
