"""Draw the training: curves of loss and accuracy, and a sheet of augmented images."""

import numpy as np
import pandas as pd

from classifier.data.augment import AugmentParams
from classifier.data.augmentation_samples import augmentation_samples
from classifier.plotting.agg import Axes, Figure, MaxNLocator
from classifier.plotting.figures import BLUE, GREY, ORANGE, image_sheet, new_figure
from classifier.processing.images import center_crop

_SAMPLES = 16


def draw_curves(history: pd.DataFrame, best_epoch: int) -> Figure:
    """Draw loss and accuracy of training and validation by epoch; a line marks the best epoch.

    history: a row per epoch, with the columns of results/train/history.csv.
    """
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    _draw_quantity(left, history, "loss", best_epoch)
    _draw_quantity(right, history, "accuracy", best_epoch)
    return figure


def draw_augmentations(
    image: np.ndarray, params: AugmentParams, *, input_size: int, seed: int
) -> Figure:
    """Draw one stored image, uint8 `(S, S, 3)`, as validated and in 16 augmentations."""
    augmented = augmentation_samples(
        image, params, input_size=input_size, seed=seed, count=_SAMPLES
    )
    captions = ["as validated", *(f"augmented {i + 1}" for i in range(_SAMPLES))]
    return image_sheet([center_crop(image, input_size), *augmented], captions, columns=6)


def _draw_quantity(axes: Axes, history: pd.DataFrame, quantity: str, best_epoch: int) -> None:
    for part, colour in (("train", BLUE), ("val", ORANGE)):
        label = {"train": "training (augmented)", "val": "validation"}[part]
        values = history[f"{part}_{quantity}"]
        axes.plot(history["epoch"], values, color=colour, label=label, marker=".")
    axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best epoch ({best_epoch})")
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
