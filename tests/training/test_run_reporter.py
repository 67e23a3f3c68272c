from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.tiny import tiny_params
from matplotlib.figure import Figure

from classifier.processing.images import center_crop
from classifier.training.run_reporter import draw_augmentations, draw_curves, write_history

HISTORY: list[dict[str, float]] = [
    {
        "epoch": epoch,
        "lr": 1e-9 / epoch,
        "train_loss": 2 / epoch,
        "train_accuracy": 1 - 0.5 / epoch,
        "val_loss": 3 / epoch,
        "val_accuracy": 1 - 0.6 / epoch,
    }
    for epoch in (1, 2, 3)
]
IMAGE = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)


def shown(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_history_file_has_a_line_for_each_epoch(tmp_path: Path) -> None:
    write_history(HISTORY, tmp_path / "history.csv")
    table = pd.read_csv(tmp_path / "history.csv")
    assert table.columns.to_list() == list(HISTORY[0])
    assert table["epoch"].to_list() == [1, 2, 3]
    assert table["epoch"].dtype == np.int64
    assert table["val_loss"].to_list() == [3, 1.5, 1]
    assert table["train_accuracy"][2] == 0.833333
    assert table["lr"][2] == pytest.approx(1e-9 / 3)


def test_curves_show_the_history_and_the_best_epoch() -> None:
    figure = draw_curves(HISTORY, best_epoch=2)
    for axes, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
        expected = [[row[f"{part}_{quantity}"] for row in HISTORY] for part in ("train", "val")]
        assert axes.get_ylabel() == quantity
        np.testing.assert_array_equal([*lines.values()][:2], expected)
        assert list(lines) == ["training (augmented)", "validation", "best epoch (2)"]


def test_sheet_shows_the_image_as_validated_and_16_times_augmented() -> None:
    figure = draw_augmentations(IMAGE, tiny_params().augment, input_size=8, seed=0)
    first, *others = shown(figure)
    np.testing.assert_array_equal(first, center_crop(IMAGE, 8))
    assert len(others) == 16
    assert all(other.shape == (8, 8, 3) and other.dtype == np.uint8 for other in others)
    assert len({other.tobytes() for other in others}) > 8


def test_sheet_without_augmentation_shows_the_same_image_everywhere() -> None:
    off = tiny_params(augment={"flip": 0.0, "crop_padding": None}).augment
    for image in shown(draw_augmentations(IMAGE, off, input_size=8, seed=0)):
        np.testing.assert_array_equal(image, center_crop(IMAGE, 8))
