from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.splits import LIMITS

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.processing.images import Preprocessing
from classifier.splitting.assignment import Located
from classifier.splitting.check_report import describe_warnings, write_integrity
from classifier.splitting.data_checks import check_images
from classifier.splitting.duplicates import Duplicates, Pair
from classifier.splitting.split import CheckParams, Outcome


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


def an_outcome(**changes: Any) -> Outcome:
    prints = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    nothing = Duplicates([], [], np.zeros(6, np.int64), {})
    good = Outcome([], {}, nothing, np.array(["RGB"] * 4 + ["L"] * 2), prints)
    return good._replace(**changes)


def found(dataset: Dataset, outcome: Outcome, **limits: Any) -> dict[str, tuple[int, str]]:
    """Cases and the worst of them, of the checks that found something."""
    checks = check_images(dataset, outcome, CheckParams.model_validate(LIMITS | limits))
    return {check.name: (check.cases, check.worst) for check in checks if check.cases}


def test_good_images_raise_no_warning() -> None:
    assert found(a_dataset(), an_outcome()) == {}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"width": [100, 19, 18, 20, 100, 100]}, {"too small": (2, "2.png")}),
        ({"height": [80, 501, 80, 80, 80, 500], "width": 200}, {"too large": (1, "1.png")}),
        ({"width": [100, 400, 30, 99, 99, 20], "height": 80}, {"too long": (1, "1.png")}),
        ({"group": [1, 1, 0, 0, 0, 0]}, {"alike one of train": (1, "1.png")}),
        (
            {"split": ["train", "test", "test", "train", "test", "train"]},
            {"classes with few test images": (1, "$dog$")},
        ),
    ],
)
def test_images_beyond_a_limit_are_counted_and_the_worst_named(
    columns: dict[str, Any], expected: dict[str, tuple[int, str]]
) -> None:
    assert found(a_dataset(**columns), an_outcome(), max_aspect_ratio=4.9) == expected


def test_blank_images_are_found() -> None:
    outcome = an_outcome()
    outcome.prints[3] = 200
    assert found(a_dataset(), outcome) == {"blank": (1, "3.png")}


def test_imbalance_names_the_smallest_class() -> None:
    dataset = a_dataset(label=[0, 1, 1, 1, 1, 1])
    name = "classes up to 5.0 times smaller than the largest"
    assert found(dataset, an_outcome(), min_test_images=1)[name] == (1, "cat")


def test_unreadable_and_contradicting_images_are_found() -> None:
    images = [Located("0.png", "cat", None), Located("3.png", "$dog$", None)]
    pairs = [Pair(0, 1, "file", 1.0)]
    duplicates = Duplicates(images, pairs, np.array([1, 1]), {})
    outcome = an_outcome(problems=[("bad.png", "it is damaged.")], duplicates=duplicates)
    assert found(a_dataset(), outcome) == {
        "cannot be read": (1, "bad.png"),
        "alike, of two classes": (1, "0.png"),
    }


def test_report_is_the_same_every_time(tmp_path: Path) -> None:
    params = CheckParams.model_validate(LIMITS)
    for name in ("one", "two"):
        assert write_integrity(tmp_path / name, a_dataset(), an_outcome(), params) == []
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["checks.csv", "images.csv", "images.png"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    facts = pd.read_csv(tmp_path / "one/images.csv", index_col="measure")["value"]
    assert facts["width, highest"] == 100
    assert facts["images of mode RGB"] == 4
    assert facts["red, mean"] == pytest.approx(a_dataset().images[[0, 3], ..., 0].mean(), abs=1e-3)


def test_warnings_fail_where_asked(tmp_path: Path) -> None:
    dataset, outcome = a_dataset(width=10), an_outcome()
    params = CheckParams.model_validate(LIMITS)
    warnings = write_integrity(tmp_path, dataset, outcome, params)
    lines = ["too small: 6 (min_side 20, 0.png)", "too long: 6 (max_aspect_ratio 4, 0.png)"]
    assert describe_warnings(warnings, params) == lines
    strict = CheckParams.model_validate(LIMITS | {"on_warning": "fail"})
    with pytest.raises(UserError, match=r"too small: 6 .+ set split\.checks\.on_warning: warn"):
        describe_warnings(warnings, strict)
    assert describe_warnings([], strict) == []
