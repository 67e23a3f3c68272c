"""What training leaves for people: history, curves, and a look at the augmentation."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from classifier.augment import AugmentParams, augment, draw_table
from classifier.charts import BLUE, GREY, ORANGE, new_figure, picture_sheet
from classifier.files import write_csv
from classifier.images import center_crop

SHEET_PICTURES = 16


def write_history(history: list[dict[str, float]], path: Path) -> None:
    """The history as CSV, whole after every epoch, so that `dvc plots show` can follow a run."""
    table = pd.DataFrame(history).astype({"epoch": int})
    write_csv(path, table.round({name: 6 for name in table.columns if name not in ("epoch", "lr")}))


def draw_curves(history: list[dict[str, float]], best_epoch: int) -> Figure:
    """Loss and accuracy of training and validation by epoch; a line marks the best epoch."""
    table = pd.DataFrame(history)
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    _draw_pair(left, table, "loss", best_epoch)
    _draw_pair(right, table, "accuracy", best_epoch)
    return figure


def _draw_pair(axes: Axes, table: pd.DataFrame, quantity: str, best_epoch: int) -> None:
    for part, colour in (("train", BLUE), ("val", ORANGE)):
        label = {"train": "training (augmented)", "val": "validation"}[part]
        values = table[f"{part}_{quantity}"]
        axes.plot(table["epoch"], values, color=colour, label=label, marker=".")
    axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best epoch ({best_epoch})")
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def draw_augmentations(
    picture: np.ndarray, params: AugmentParams, *, crop: int, seed: int
) -> Figure:
    """One picture, uint8 `(S, S, 3)`, as stored and as the first 16 epochs might show it."""
    table = draw_table(
        params,
        seed=seed,
        epoch=1,
        size=SHEET_PICTURES,
        image_size=picture.shape[1],
        crop=crop,
    )
    copies = torch.from_numpy(np.repeat(picture[None], SHEET_PICTURES, axis=0))
    augmented = augment(copies, table, params, crop).round().to(torch.uint8).numpy()
    captions = ["as validated", *(f"augmented {i + 1}" for i in range(SHEET_PICTURES))]
    return picture_sheet([center_crop(picture, crop), *augmented], captions, columns=6)
