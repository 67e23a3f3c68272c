from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.class_sizes import PETS, dataset_of
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from PIL import Image

from classifier.plotting.figures import write_png
from classifier.report.data_figures import (
    draw_class_counts,
    draw_duplicates,
    draw_image_measures,
    draw_samples,
)
from classifier.splitting.class_counts import class_counts


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("classes", [2, 100])
def test_every_class_has_a_readable_name_on_the_chart(tmp_path: Path, classes: int) -> None:
    sizes = {f"class {i:03d} of a rather long name, $indeed$": (7, 1, 2) for i in range(classes)}
    figure = draw_class_counts(class_counts(dataset_of(sizes)))
    write_png(figure, tmp_path / "chart.png")
    (axes,) = figure.axes
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == classes
    assert all(box.x0 >= 0 for box in boxes)  # nothing is cut off
    boxes.sort(key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    width, height = Image.open(tmp_path / "chart.png").size
    assert max(boxes[-1].y1, axes.get_window_extent().y1) <= height
    assert axes.get_window_extent().x1 <= width


def test_bars_show_the_splits_end_to_end() -> None:
    (axes,) = draw_class_counts(class_counts(dataset_of(PETS))).axes
    bars = [[(bar.get_x(), bar.get_width()) for bar in group] for group in axes.containers]
    assert [group[1] for group in bars] == [(0, 9), (9, 2), (11, 3)]
    assert {text.get_text() for text in axes.texts} == {"8", "14", "5"}


def test_chart_of_very_many_classes_stays_on_the_screen() -> None:
    figure = draw_class_counts(class_counts(dataset_of({f"{i}": (1, 1, 1) for i in range(300)})))
    assert figure.get_size_inches()[1] < 30
    assert figure.axes[0].get_ylabel() == "300 classes"


@pytest.mark.parametrize(("classes", "images"), [(2, 16), (3, 24), (7, 21), (10, 20), (30, 30)])
def test_every_class_has_as_many_samples(classes: int, images: int) -> None:
    figure = draw_samples(dataset_of({f"class {i}": (9, 1, 1) for i in range(classes)}))
    names = titles(figure)
    assert len(names) == images
    assert {names.count(f"class {i}") for i in range(classes)} == {images // classes}


def test_samples_stand_under_the_names_of_their_classes() -> None:
    figure = draw_samples(dataset_of({"a": (2, 1, 1), "b": (9, 1, 1), "c": (1, 1, 1)}))
    shown = [axes for axes in figure.axes if axes.get_title()]
    for axes in shown:
        value = np.asarray(axes.images[0].get_array())[0, 0, 0]
        assert axes.get_title() == "abc"[value]
    assert [axes.get_title() for axes in shown] == ["a"] * 2 + ["b"] * 8 + ["c"]


def test_sheet_of_very_many_classes_stays_small() -> None:
    names = titles(draw_samples(dataset_of({f"class {i:03d}": (1, 1, 1) for i in range(100)})))
    assert len(names) == len(set(names)) == 48
    assert (names[0], names[-1]) == ("class 000", "class 099")


def image_measures_of(classes: dict[str, tuple[int, int, int]]) -> Figure:
    names = ("width", "height", "aspect_ratio", "brightness", "contrast")
    bins = [(name, low, low + 1, 5 * low) for name in names for low in (1, 2, 3)]
    histograms = pd.DataFrame(bins, columns=["measure", "low", "high", "images"])
    modes = pd.DataFrame({"mode": ["RGB", "L"], "images": [20, 10]})
    return draw_image_measures(histograms, modes, class_counts(dataset_of(classes)))


@pytest.mark.parametrize("letter", ["m", "i", "\u6c49"])
def test_label_with_the_largest_class_is_not_cut_off(tmp_path: Path, letter: str) -> None:
    figure = image_measures_of({40 * letter: (9, 2, 3), "other": (5, 1, 1)})
    write_png(figure, tmp_path / "chart.png")
    width, _ = Image.open(tmp_path / "chart.png").size
    box = figure.axes[5].xaxis.label.get_window_extent()
    assert box.x0 > figure.axes[4].xaxis.label.get_window_extent().x1
    assert box.x1 <= width


def test_histograms_show_every_measure_the_modes_and_the_class_sizes() -> None:
    figure = image_measures_of(PETS)
    patches = [patch for axes in figure.axes for patch in axes.patches]
    steps = [list(patch.get_data()[0]) for patch in patches if isinstance(patch, StepPatch)]
    assert steps == [[5, 10, 15]] * 5 + [[14, 8, 5]]
    bars = [patch for patch in figure.axes[4].patches if isinstance(patch, Rectangle)]
    assert [bar.get_height() for bar in bars] == [20, 10]


def test_duplicates_stand_side_by_side_under_class_and_split() -> None:
    images = np.stack([np.full((2, 4, 4, 3), value, np.uint8) for value in (10, 20)])
    row = {"class": "cruise ship", "split": "train", "other_class": "$dog$", "other_split": "test"}
    figure = draw_duplicates(images, [row | {"similarity": "0.8000"}] * 3, ["cruise ship"])
    assert titles(figure) == ["cruise ship train 0.80", r"\$dog\$ test"] * 2


def test_names_of_a_pair_stay_different_where_they_are_shortened() -> None:
    first, second = ("boat of kind a, seen from land", "boat of kind b, seen from land")
    row = {"class": first, "other_class": second, "split": "train", "other_split": "test"}
    pixels = np.zeros((1, 2, 4, 4, 3), np.uint8)
    figure = draw_duplicates(pixels, [row | {"similarity": "0.8"}], [first])
    left, right = titles(figure)
    assert left.removesuffix(" train 0.80") != right.removesuffix(" test")


def test_sheet_says_so_where_there_are_no_duplicates() -> None:
    figure = draw_duplicates(np.empty((0, 2, 4, 4, 3), np.uint8), [], [])
    assert [text.get_text() for text in figure.texts] == ["no duplicates"]


def test_width_shows_through_an_equal_height() -> None:
    width, height = image_measures_of(PETS).axes[0].patches
    assert (width.get_linestyle(), height.get_linestyle()) == ("-", "--")
