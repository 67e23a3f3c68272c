"""Draw the training: curves of loss and accuracy, and a sheet of augmented images."""

from typing import Any

import numpy as np
import pandas as pd

from classifier.plotting.agg import Axes, Figure, MaxNLocator
from classifier.plotting.figures import BLUE, GREY, ORANGE, image_sheet, new_figure
from classifier.processing.idle_knobs import idle_knobs
from classifier.processing.images import center_crop
from classifier.processing.views import expand_views


def draw_curves(history: pd.DataFrame, best_epoch: int) -> Figure:
    """Draw loss and accuracy of training and validation by epoch; a line marks the best epoch.

    Those of a logistic regression are drawn by the strength of its L2 penalty.

    history: a row per epoch, with the columns of results/train/history.csv.
    """
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    by, best = "epoch", float(best_epoch)
    if "l2" in history:
        by, best = "l2", history["l2"].iloc[best_epoch - 1]
        history = history.drop_duplicates("l2", keep="last").sort_values("l2")
    _draw_quantity(left, history, "loss", by, best)
    _draw_quantity(right, history, "accuracy", by, best)
    return figure


def draw_augmentations(image: np.ndarray, seen: np.ndarray, params: dict[str, Any]) -> Figure:
    """Draw one image as validated and as training saw it.

    That is in random augmentations, or in the views of which a frozen backbone gave features.

    Args:
        image: as stored, uint8 `(H, W, 3)`.
        seen: what training made of it, uint8 `(n, S, S, 3)`, results/train/augmentations.npy.
        params: section `train`.
    """
    names = [f"augmented {number}" for number in range(1, len(seen) + 1)]
    if "augment" in idle_knobs(params):
        names = expand_views(params["feature_views"] or [])
    shown = [center_crop(image, seen.shape[1]), *seen]
    return image_sheet(shown, ["as validated", *names], columns=min(6, len(shown)))


def _draw_quantity(axes: Axes, history: pd.DataFrame, quantity: str, by: str, best: float) -> None:
    """Draw a quantity of both splits by the column `by`; a line marks the best value of that."""
    training = {"epoch": "training (augmented)", "l2": "training"}[by]
    for part, colour in (("train", BLUE), ("val", ORANGE)):
        label = {"train": training, "val": "validation"}[part]
        axes.plot(history[by], history[f"{part}_{quantity}"], color=colour, label=label, marker=".")
    name = {"epoch": "epoch", "l2": "L2 strength"}[by]
    axes.axvline(best, color=GREY, linestyle=":", label=f"best {name} ({best:g})")
    axes.set_xlabel(name)
    axes.set_ylabel(quantity)
    if by == "l2":
        axes.set_xscale("log")
        axes.set_xticks(history[by], labels=[f"{strength:g}" for strength in history[by]])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
