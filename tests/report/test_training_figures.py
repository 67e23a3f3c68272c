import numpy as np
import pandas as pd
from builders.tiny import tiny_section
from matplotlib.figure import Figure

from classifier.processing.images import center_crop
from classifier.report.training_figures import draw_augmentations, draw_curves

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train_loss": [2.0, 1.0, 0.7],
        "train_accuracy": [0.5, 0.75, 0.8],
        "val_loss": [3.0, 1.5, 1.6],
        "val_accuracy": [0.4, 0.7, 0.6],
    }
)
IMAGE = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)


def shown(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_curves_show_the_history_and_the_best_epoch() -> None:
    figure = draw_curves(HISTORY, best_epoch=2)
    for axes, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
        expected = [HISTORY[f"{part}_{quantity}"] for part in ("train", "val")]
        assert axes.get_ylabel() == quantity
        np.testing.assert_array_equal([*lines.values()][:2], expected)
        assert list(lines) == ["training (augmented)", "validation", "best epoch (2)"]


def test_curves_of_a_logistic_regression_are_drawn_by_its_strength() -> None:
    history = HISTORY.assign(l2=[0.03, 0.01, 0.03])  # the last one is the optimum of the first
    figure = draw_curves(history, best_epoch=3)
    for axes, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        assert (axes.get_xlabel(), axes.get_xscale()) == ("L2 strength", "log")
        training, _, best = axes.lines
        assert training.get_label() == "training"
        np.testing.assert_array_equal(training.get_xdata(), [0.01, 0.03])
        np.testing.assert_array_equal(training.get_ydata(), history[f"train_{quantity}"][1:])
        assert best.get_label() == "best L2 strength (0.03)"


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.images]


def test_sheet_shows_the_image_as_validated_and_as_training_saw_it() -> None:
    seen = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    figure = draw_augmentations(IMAGE, seen, tiny_section())
    np.testing.assert_array_equal(shown(figure), [center_crop(IMAGE, 8), *seen])
    assert titles(figure) == ["as validated", "augmented 1", "augmented 2", "augmented 3"]


def test_sheet_of_a_frozen_backbone_names_the_views_of_its_features() -> None:
    frozen = tiny_section(model={"freeze": "backbone"}, feature_views=["flip"])
    figure = draw_augmentations(IMAGE, center_crop(IMAGE, 8)[None, :, ::-1], frozen)
    assert titles(figure) == ["as validated", "flip"]
