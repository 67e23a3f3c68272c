import json
from pathlib import Path

import pandas as pd
import pytest
from builders.class_sizes import PETS, dataset_of
from builders.splits import LIMITS, split_params
from builders.tiny import tiny_result

from classifier.splitting.duplicates.candidate_pairs import INDEX_PAYS
from classifier.splitting.params import CheckParams
from classifier.splitting.results import describe_search, write_results

PROBLEMS = [("a, b.png", "it is damaged.")]


def write(folder: Path, problems: list[tuple[str, str]]) -> None:
    params = CheckParams.model_validate(LIMITS)
    write_results(folder, dataset_of(PETS), tiny_result(27, problems), params)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of PETS with one problem."""
    folder = tmp_path_factory.mktemp("report")
    write(folder, PROBLEMS)
    return folder


def test_metrics_are_flat_and_at_most_eight(report: Path) -> None:
    assert json.loads((report / "metrics.json").read_bytes()) == {
        "classes": 3,
        "train": 17,
        "val": 4,
        "test": 6,
        "smallest_class": 5,
        "largest_class": 14,
        "skipped": 1,
        "leaked": 0,
    }


def test_classes_are_counted_by_split(report: Path) -> None:
    assert (report / "class_counts.csv").read_text("utf-8").splitlines() == [
        "class,train,val,test,total",
        "black cat,5,1,2,8",
        "dog,9,2,3,14",
        "Zürich $eel$,3,1,1,5",
    ]


def test_problems_are_listed_below_a_header(report: Path, tmp_path: Path) -> None:
    expected = 'path,reason\n"a, b.png",it is damaged.\n'
    assert (report / "problems.csv").read_text("utf-8") == expected
    write(tmp_path, [])
    assert (tmp_path / "problems.csv").read_text("utf-8") == "path,reason\n"


def test_report_is_the_same_every_time(report: Path, tmp_path: Path) -> None:
    write(tmp_path, PROBLEMS)
    files = sorted(path.name for path in report.iterdir())
    assert files == [
        "checks.csv", "class_counts.csv", "duplicates.csv", "image_histograms.csv",
        "image_measures.csv", "image_modes.csv", "image_warnings.csv", "metrics.json",
        "problems.csv",
    ]  # fmt: skip
    for name in files:
        assert (report / name).read_bytes() == (tmp_path / name).read_bytes()


def test_measures_histograms_and_modes_are_those_of_the_images(report: Path) -> None:
    measures = pd.read_csv(report / "image_measures.csv", index_col="measure")
    assert list(measures.loc["width"]) == ["pixels", 8, 8, 8]
    red = dataset_of(PETS).images[dataset_of(PETS).rows("train"), ..., 0].mean()
    assert measures.loc["red, mean", "median"] == pytest.approx(red, abs=1e-3)
    histograms = pd.read_csv(report / "image_histograms.csv")
    assert (histograms.groupby("measure")["images"].sum() == 27).all()
    assert set(histograms["measure"]) == {
        "width", "height", "aspect_ratio", "brightness", "contrast",
    }  # fmt: skip
    assert (report / "image_modes.csv").read_text("utf-8") == "mode,images\nRGB,27\n"


def test_search_that_takes_long_is_said_with_the_remedy() -> None:
    exact = split_params(duplicate_search="exact")
    assert "split.duplicate_search: index" in describe_search(INDEX_PAYS, exact)[0]
    assert describe_search(INDEX_PAYS - 1, exact) == []
    assert describe_search(INDEX_PAYS, split_params(duplicate_search="index")) == []
    assert describe_search(INDEX_PAYS, split_params(duplicate_similarity=None)) == []
