"""Two images in one: mixup and cutmix, as functions of (seed, epoch, step, part)."""

from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from classifier.core.config import Params
from classifier.core.random import stream
from classifier.data.transfer import to_device


class MixParams(Params):
    """Section `train.mix`."""

    mixup: float = Field(ge=0)
    cutmix: float = Field(ge=0)

    @property
    def is_on(self) -> bool:
        """Whether images are mixed at all."""
        return bool(self.mixup or self.cutmix)


class Mixed(NamedTuple):
    """inputs: mixed, shaped as they were. others: int64 `(B,)`, the second classes.

    share: of the first class, 0..1.
    """

    inputs: Tensor
    others: Tensor
    share: float


def mix(inputs: Tensor, targets: Tensor, params: MixParams, seeds: list[int]) -> Mixed:
    """Mix each input with another of its batch; draw the share of the first from Beta(a, a).

    mixup is their weighted mean (Zhang et al., arXiv 1710.09412); cutmix pastes a rectangle of
    the second into the first (Yun et al., arXiv 1905.04899). With both on, one is drawn by lot.
    inputs: float `(B, H, W, 3)`, for mixup of any shape; a new tensor is returned.
    """
    draws = stream("mix", *seeds)
    order = to_device(torch.from_numpy(draws.permutation(len(targets))), targets.device)
    second, others = inputs[order], targets[order]
    cut = params.cutmix and not (params.mixup and draws.random() < 0.5)
    alpha = params.cutmix if cut else params.mixup
    share = draws.beta(alpha, alpha)
    if not cut:
        return Mixed(inputs.lerp(second, 1 - share), others, share)
    height, width = inputs.shape[1:3]
    down, across = (_window(side, (1 - share) ** 0.5, draws) for side in (height, width))
    mixed = inputs.clone()
    mixed[:, down, across] = second[:, down, across]
    pasted = (down.stop - down.start) * (across.stop - across.start)
    return Mixed(mixed, others, 1 - pasted / (height * width))


def _window(side: int, part: float, draws: np.random.Generator) -> slice:
    """Return `part` of the side about a random centre, cut off at the edges."""
    center, half = draws.integers(side), round(side * part) // 2
    return slice(max(0, center - half), min(side, center + half))
