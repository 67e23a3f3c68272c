"""Examples of what the training augmentation makes of one image, for people to look at."""

import numpy as np
import torch

from classifier.data.augment import augment, draw_table
from classifier.data.augment_params import AugmentParams


def augmentation_samples(
    image: np.ndarray, params: AugmentParams, *, input_size: int, seed: int, count: int
) -> np.ndarray:
    """Return `count` random augmentations of `image`: uint8 `(count, input_size, input_size, 3)`.

    image: as stored, uint8 `(S, S, 3)`. The draws are those that training makes in its first epoch
    for the first `count` images.
    """
    table = draw_table(
        params,
        seed=seed,
        epoch=1,
        size=count,
        stored_size=image.shape[1],
        input_size=input_size,
    )
    copies = torch.from_numpy(np.repeat(image[None], count, axis=0))
    return augment(copies, table, params, input_size).round().to(torch.uint8).numpy()
