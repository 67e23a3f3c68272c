from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.splits import LIMITS
from builders.tiny import tiny_result

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.processing.images import Preprocessing
from classifier.splitting.data_checks import check_images, checks_table, describe_warnings
from classifier.splitting.duplicates.pairs import Duplicates, Pair
from classifier.splitting.params import CheckParams
from classifier.splitting.raw_images import RawImage
from classifier.splitting.split import SplitResult


def a_dataset(**columns: Any) -> Dataset:
    """Six good images, three of each class, with these columns of the manifest changed."""
    manifest = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(6)],
            "class": ["cat"] * 3 + ["$dog$"] * 3,
            "label": [0] * 3 + [1] * 3,
            "split": ["train", "test", "test"] * 2,
            "width": 100,
            "height": 80,
            "group": 0,
        }
    ).assign(**columns)
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    return Dataset(images, manifest, ["cat", "$dog$"], Preprocessing(8, "crop"))


def a_result(**changes: Any) -> SplitResult:
    thumbnails = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    modes = np.array(["RGB"] * 4 + ["L"] * 2)
    return tiny_result(6)._replace(modes=modes, thumbnails=thumbnails)._replace(**changes)


def found(dataset: Dataset, result: SplitResult, **limits: Any) -> dict[str, tuple[int, str]]:
    """Cases and the worst of them, of the checks that found something."""
    checks = check_images(dataset, result, [], CheckParams.model_validate(LIMITS | limits))
    return {check.name: (check.cases, check.worst) for check in checks if check.cases}


def test_good_images_raise_no_warning() -> None:
    assert found(a_dataset(), a_result()) == {}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"width": [100, 19, 18, 20, 100, 100]}, {"too small": (2, "2.png")}),
        ({"height": [80, 501, 80, 80, 80, 500], "width": 200}, {"too large": (1, "1.png")}),
        ({"width": [100, 400, 30, 99, 99, 20], "height": 80}, {"too long": (1, "1.png")}),
        (
            {"group": [1, 1, 0, 0, 0, 0]},
            {"val or test images with a duplicate or their group in train": (1, "1.png")},
        ),
        (
            {"split": ["train", "test", "test", "train", "test", "train"]},
            {"classes with few test images": (1, "$dog$")},
        ),
    ],
)
def test_images_beyond_a_limit_are_counted_and_the_worst_named(
    columns: dict[str, Any], expected: dict[str, tuple[int, str]]
) -> None:
    assert found(a_dataset(**columns), a_result(), max_aspect_ratio=4.9) == expected


def test_blank_images_are_found() -> None:
    result = a_result()
    result.thumbnails[3] = 200
    assert found(a_dataset(), result) == {"blank": (1, "3.png")}


@pytest.mark.parametrize(
    ("largest", "level"),
    [(200, 255), (255, 255), (256, 1023), (4080, 4095), (8191, 16383)],
)
def test_wide_images_that_are_all_dark_are_named_with_the_level_to_set(
    largest: int, level: int
) -> None:
    result = a_result(largest=np.array([0, 0, 100, largest, 7, 0]))
    cases, worst = found(a_dataset(), result)["wide images that become nearly black"]
    assert cases == 3
    assert worst == f"largest value {largest}: set split.white_level to {level}"


def test_one_bright_image_shows_that_the_white_level_is_right() -> None:
    assert found(a_dataset(), a_result(largest=np.array([3, 9, 100, 8192, 7, 0]))) == {}


def test_images_beyond_the_white_level_are_named() -> None:
    result = a_result(largest=np.array([0, 70_000, 65_535, 80_000, 7, 0]))
    assert found(a_dataset(), result)["images brighter than white"] == (
        2, "largest value 80000: set split.white_level to 80000",
    )  # fmt: skip


def test_complaints_of_decoders_are_counted() -> None:
    complaints = [("2.png", "its EXIF data cannot be read"), ("3.png", "its text is damaged")]
    assert found(a_dataset(), a_result(complaints=complaints)) == {"decoder warnings": (2, "2.png")}


def test_imbalance_names_the_smallest_class() -> None:
    dataset = a_dataset(label=[0, 1, 1, 1, 1, 1])
    name = "classes up to 5.0 times smaller than the largest"
    assert found(dataset, a_result(), min_test_images=1)[name] == (1, "cat")


def test_unreadable_and_contradicting_images_are_found() -> None:
    images = [RawImage("0.png", "cat", None), RawImage("3.png", "$dog$", None)]
    pairs = [Pair(0, 1, "file", 1.0)]
    duplicates = Duplicates(images, pairs, np.array([1, 1]))
    result = a_result(problems=[("bad.png", "it is damaged.")], duplicates=duplicates)
    assert found(a_dataset(), result) == {
        "cannot be read": (1, "bad.png"),
        "near-duplicates with different labels": (1, "0.png"),
    }


def test_table_says_which_checks_are_good() -> None:
    params = CheckParams.model_validate(LIMITS)
    table = checks_table(check_images(a_dataset(width=10), a_result(), [], params))
    warned = table[table["verdict"] == "warning"]
    assert warned["check"].tolist() == ["too small", "too long"]
    assert warned["cases"].tolist() == [6, 6]
    assert set(table["verdict"]) == {"good", "warning"}


def test_warnings_fail_where_asked() -> None:
    params = CheckParams.model_validate(LIMITS)
    checks = check_images(a_dataset(width=10), a_result(), [], params)
    lines = ["too small: 6 (min_side 20, 0.png)", "too long: 6 (max_aspect_ratio 4, 0.png)"]
    assert describe_warnings(checks, params) == lines
    strict = CheckParams.model_validate(LIMITS | {"on_warning": "fail"})
    with pytest.raises(UserError, match=r"too small: 6 .+ set split\.checks\.on_warning: warn"):
        describe_warnings(checks, strict)
    good = check_images(a_dataset(), a_result(), [], strict)
    assert describe_warnings(good, strict) == []
