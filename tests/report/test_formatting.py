import pytest

from classifier.report.formatting import (
    few_test_images,
    fraction,
    knobs_that_count,
    measure_name,
    with_interval,
)


def test_knobs_that_change_nothing_are_left_out_but_the_seed_stays():
    params = {
        "seed": 0,
        "epochs": 3,
        "patience": None,
        "progressive_resizing": [],
        "model": {"freeze": "none", "head": {"hidden": 256, "dropout": 0.0}},
    }
    assert list(knobs_that_count(params)) == [
        ("seed", "0"),
        ("epochs", "3"),
        ("model.head.hidden", "256"),
    ]
    assert list(knobs_that_count(params, ["epochs", "model.head"])) == [("seed", "0")]


@pytest.mark.parametrize(
    ("name", "words"),
    [("top3_accuracy", "top-3 accuracy"), ("macro_f1", "macro F1"), ("log_loss", "log loss")],
)
def test_measures_have_names_in_words(name: str, words: str):
    assert measure_name(name) == words


def test_an_empty_cell_stays_empty():
    assert fraction("") == ""
    assert fraction("0.5") == "0.5000"
    assert with_interval({"recall": "", "recall_low": "", "recall_high": ""}, "recall") == ""


def test_classes_with_few_test_images_come_with_the_fewest_first():
    rows = [
        {"class": name, "test": size} for name, size in zip("abc", ("29", "30", "3"), strict=True)
    ]
    assert [row["class"] for row in few_test_images(rows)] == ["c", "a"]
