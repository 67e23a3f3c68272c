"""Change images so slightly that nobody would notice, such that the network errs."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def attack(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    strength: float,
    steps: int = 1,
    start: Tensor | None = None,
) -> Tensor:
    """Return `images` with each value moved by at most `strength`, so as to raise the loss.

    images: float `(N, H, W, 3)` in 0..255, as the result. targets: class indices `(N,)`.
    start: numbers in -1..1 of the same shape, the point within reach to start from, in units of
    `strength`; None starts at the images themselves.
    One step without a start is the fast gradient sign method (Goodfellow et al., arXiv 1412.6572);
    several with one are projected gradient descent (Madry et al., arXiv 1706.06083); one with a
    start is the cheap attack to train against of Wong et al. (arXiv 2001.03994).
    The network's weights, and gradients that wait for an optimiser, stay as they are.
    """
    # Together, the steps go farther than the reach is wide.
    length = strength * (1.0 if start is None else min(1.25, 2.5 / steps))
    moved = images if start is None else (images + strength * start).clamp(0, 255)
    for _ in range(steps):
        moved = moved.detach().requires_grad_(True)
        loss = cross_entropy(network(moved).float(), targets, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + length * gradient.sign()
        moved = torch.maximum(torch.minimum(moved, images + strength), images - strength)
        moved = moved.clamp(0, 255)
    return moved.detach()
