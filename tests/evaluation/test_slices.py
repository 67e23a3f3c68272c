from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.evaluation.slices import (
    COLUMNS,
    columns_without_slice,
    describe_worst,
    slices_table,
    worst_slice,
)
from classifier.processing.images import Preprocessing


def make_answers(
    right: np.ndarray, images: np.ndarray | None = None, **columns: list[Any]
) -> Answers:
    """Of two classes, with further columns of the manifest."""
    count = len(right)
    if images is None:
        images = np.zeros((count, 2, 2, 3), np.uint8)
    manifest = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(count)], "label": 0, "split": "test"}
    ).assign(**{"width": 10, "height": 10, "mode": "RGB", "bytes": 9, **columns})
    dataset = Dataset(images, manifest, ["a", "b"], Preprocessing(2, "crop"))
    given = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    return Answers(dataset, np.arange(count), given)


def row(table: pd.DataFrame, name: str) -> pd.Series:
    return table[table["slice"] == name].iloc[0]


def test_slice_of_a_column_has_its_accuracy_and_the_gap_to_all_other_images() -> None:
    right = np.array([True] * 15 + [False] * 5 + [True] * 60)
    cameras = ["old"] * 20 + ["new"] * 60
    table = slices_table(make_answers(right, camera=cameras), ["camera"])
    old = row(table, "camera old")
    assert (old["images"], old["accuracy"], old["gap"]) == (20, 0.75, -0.25)
    # By hand: all five mistakes among 20 of 80 images.
    assert old["p_value"] == pytest.approx(15504 / 24040016)
    assert old["accuracy_low"] < 0.75 < old["accuracy_high"]


def test_dark_images_are_found_without_a_column() -> None:
    brightness = np.repeat([10, 90, 150, 220], 25)
    images = np.broadcast_to(brightness[:, None, None, None], (100, 2, 2, 3)).astype(np.uint8)
    table = slices_table(make_answers(brightness > 10, images), [])
    worst = worst_slice(table)
    assert worst is not None
    assert worst["slice"].startswith("brightness ")
    assert (worst["images"], worst["accuracy"], worst["gap"]) == (25, 0, -1)
    assert "more than chance explains" in describe_worst(table)


def test_lower_accuracy_by_chance_is_not_hidden_behind_the_worst_slice() -> None:
    # Of 10 images of `few`, 6 are right by chance; of 150 of `old`, 105, which is no chance.
    right = np.repeat([True, False, True, False, True], [6, 4, 105, 45, 60])
    cameras = ["few"] * 10 + ["old"] * 150 + ["new"] * 60
    table = slices_table(make_answers(right, camera=cameras), ["camera"])
    assert table["slice"].iloc[0] == "camera few"
    assert describe_worst(table).startswith(
        "lowest accuracy of the slices that chance does not explain (1 of 3): 0.7000 for camera old"
    )


@pytest.mark.parametrize(("adjusted", "said"), [(0.049, "more than"), (0.051, "which")])
def test_chance_explains_a_gap_from_a_p_value_of_five_in_a_hundred(adjusted: float, said: str):
    rows = [("a", 20, 0.5, 0.3, 0.7, -0.4, adjusted, adjusted), ("b", 20, 0.9, 0.7, 1, 0.4, 1, 1)]
    line = describe_worst(pd.DataFrame(rows, columns=COLUMNS))
    assert line.startswith("lowest accuracy of 2 slices: 0.5000 for a (20 images, -0.4000 to the")
    assert f"{said} chance explains)" in line


def test_what_is_the_same_everywhere_makes_no_slice() -> None:
    table = slices_table(make_answers(np.arange(40) % 4 > 0, camera=["one"] * 40), ["camera"])
    assert table.empty
    assert worst_slice(table) is None
    assert describe_worst(table) == ""


def test_slice_that_is_better_than_the_rest_is_not_the_worst() -> None:
    cameras = ["a"] * 12 + [f"b{i}" for i in range(28)]
    table = slices_table(make_answers(np.arange(40) != 20, camera=cameras), ["camera"])
    assert table["slice"].tolist() == ["camera a"]
    assert table["gap"].iloc[0] > 0
    assert worst_slice(table) is None
    assert describe_worst(table) == ""


def test_slices_of_few_images_are_not_listed() -> None:
    cameras = ["a"] * 30 + ["b"] * 9 + ["c"] * 10
    answers = make_answers(np.arange(49) % 4 > 0, camera=cameras)
    table = slices_table(answers, ["camera"])
    assert set(table["slice"]) == {"camera a", "camera c"}
    assert columns_without_slice(answers, ["camera"]) == {}


def test_certain_gap_is_worse_than_a_lower_accuracy_by_chance() -> None:
    sizes = {"few": (5, 10), "many": (165, 300), "rest": (700, 1000)}
    right = np.concatenate([np.arange(size) < good for good, size in sizes.values()])
    cameras = [name for name, (_, size) in sizes.items() for _ in range(size)]
    table = slices_table(make_answers(right, camera=cameras), ["camera"])
    assert table["slice"].tolist() == ["camera few", "camera many", "camera rest"]
    worst = worst_slice(table)
    assert worst is not None
    assert worst["slice"] == "camera many"


def test_correction_makes_gaps_less_certain() -> None:
    right = np.random.default_rng(0).random(400) < 0.8
    table = slices_table(make_answers(right, camera=[str(i // 20) for i in range(400)]), ["camera"])
    assert len(table) == 20
    assert (table["adjusted_p_value"] >= table["p_value"]).all()
    assert (table["adjusted_p_value"] > table["p_value"]).any()
    assert (table["adjusted_p_value"] <= 1).all()


@pytest.mark.parametrize("name", ["colour", "class", "path", "group"])
def test_column_that_makes_no_slices_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(UserError, match=f"names {name}, which is no column .* those are .*camera"):
        slices_table(make_answers(np.ones(20, bool), camera=["a"] * 20), [name])


def test_column_that_makes_no_slice_is_told_with_the_reason() -> None:
    columns: dict[str, list[str]] = {
        "uid": [f"u{i}" for i in range(40)],
        "site": ["one"] * 40,
        "lens": ["wide"] * 35 + ["long"] * 5,
        "camera": ["old"] * 20 + ["new"] * 20,
    }
    answers = make_answers(np.arange(40) % 4 > 0, None, **columns)
    assert columns_without_slice(answers, list(columns)) == {
        "uid": "no value has 10 test images",
        "site": "all test images have the same value",
        "lens": "fewer than 10 test images have another value",
    }


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.sampled_from(["", "1", "2", "3", "wide"]), min_size=1, max_size=45))
def test_column_has_a_slice_or_a_reason_why_not(values: list[str]) -> None:
    answers = make_answers(np.arange(len(values)) % 4 > 0, None, lens=sorted(values))
    has_slice = slices_table(answers, ["lens"])["slice"].str.startswith("lens").any()
    assert has_slice == ("lens" not in columns_without_slice(answers, ["lens"]))


def test_measures_of_few_values_make_slices() -> None:
    measures = {
        "width": [4] * 20 + [20] * 20,
        "height": [8] * 20 + [10] * 20,
        "bytes": [9] * 30 + list(range(10, 20)),
    }
    table = slices_table(make_answers(np.arange(40) % 4 > 0, None, **measures), [])
    assert dict(zip(table["slice"], table["images"], strict=True)) == {
        "aspect_ratio 0.5": 20,
        "aspect_ratio 2": 20,
        "pixels 32": 20,
        "pixels 200": 20,
        "bytes 9": 30,
        "bytes 10 to 19": 10,
    }


def test_sizes_of_photos_have_all_their_digits() -> None:
    measures = {"width": [640] * 20 + [4000] * 20, "height": 3000, "bytes": range(123450, 123490)}
    table = slices_table(make_answers(np.arange(40) % 4 > 0, None, **measures), [])
    names = set(table["slice"])
    assert {"pixels 1920000", "pixels 12000000", "bytes 123450 to 123459"} <= names


def test_numbers_that_are_rare_are_cut_into_quarters() -> None:
    dates = [str(20000101 + i) for i in range(60)] + [""] * 10
    table = slices_table(make_answers(np.arange(70) % 4 > 0, date=dates), ["date"])
    assert len(table) == 5
    assert table["images"].sum() == 70
    assert row(table, "date empty")["images"] == 10
    assert row(table, "date 20000101 to 20000115")["images"] == 15


def test_measure_that_the_table_of_labels_has_too_makes_its_slices_once() -> None:
    answers = make_answers(np.arange(60) % 4 > 0, None, bytes=[1, 2, 3] * 20)
    table = slices_table(answers, ["bytes"])
    assert table["slice"].tolist() == ["bytes 1", "bytes 2", "bytes 3"]


def test_numbers_of_which_each_is_frequent_are_slices_of_their_own() -> None:
    table = slices_table(make_answers(np.arange(40) % 4 > 0, fold=["1", "2"] * 20), ["fold"])
    assert set(table["slice"]) == {"fold 1", "fold 2"}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(20, 120))
def test_quarters_of_a_measure_hold_every_image_once(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    widths = generator.integers(1, 2000, count)
    answers = make_answers(generator.random(count) > 0.3, width=widths.tolist(), height=[1] * count)
    table = slices_table(answers, [])
    listed = table[table["slice"].str.startswith("pixels ")]
    smallest = count - int(listed["images"].sum())
    assert 0 <= smallest < 40  # slices of few images are not listed
    assert (listed["images"] <= count).all()
    assert table["accuracy"].is_monotonic_increasing
