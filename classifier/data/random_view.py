"""Views of stored images that show them as the training augmentation does."""

from dataclasses import dataclass, field

import numpy as np
import torch

from classifier.data.augment import Table, augment, draw_table
from classifier.data.augment_params import AugmentParams
from classifier.processing.views import View


def random_view(
    params: AugmentParams, *, stored_size: int, input_size: int, seed: int, number: int, size: int
) -> View:
    """Return a view that shows each image as the training augmentation does in epoch `number`.

    Args:
        params: The training augmentation.
        stored_size: Side of the stored images in pixels.
        input_size: Side of the views in pixels.
        seed: With `number` and the row of an image, all that its view depends on.
        number: Counts the random views.
        size: Number of images in the data set.
    """
    table = draw_table(
        params, seed=seed, epoch=number, size=size, stored_size=stored_size, input_size=input_size
    )
    return _RandomView(params, input_size, seed, number, table)


@dataclass(frozen=True)
class _RandomView:
    params: AugmentParams
    input_size: int
    seed: int
    number: int
    table: Table = field(repr=False)

    @property
    def name(self) -> str:
        return f"random_{self.number}"

    def __call__(self, images: np.ndarray, rows: np.ndarray, /) -> np.ndarray:
        drawn = self.table.rows(rows, torch.device("cpu"))
        return augment(torch.from_numpy(images), drawn, self.params, self.input_size).numpy()
