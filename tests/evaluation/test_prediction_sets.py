import numpy as np
import pandas as pd
from builders.answers import answers_with

from classifier.evaluation.answers import Answers
from classifier.evaluation.decisions.prediction_sets import (
    fit_sets,
    set_lines,
    set_measures,
    sets_table,
)
from classifier.processing.row_names import ALL_CLASSES, ALL_UNSEEN

CLASSES = ["cat", "dog", "wolf"]


def draw(counts: list[int], seed: int = 0) -> Answers:
    """Answers for so many images of each class, right more often than not."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), counts)
    given = generator.dirichlet(np.ones(3), len(labels)) + np.eye(3)[labels] * 0.5
    return answers_with(given / given.sum(axis=1, keepdims=True), labels, CLASSES)


def test_rows_have_coverage_and_size_of_the_sets_that_predict_gives() -> None:
    answers = draw([40, 40, 40], seed=1)
    fitted = fit_sets(draw([60, 60, 60]), 0.9)
    table = sets_table(answers, fitted, 0.9)
    rows = table.set_index("class").to_dict("index")
    inside = answers.probabilities >= fitted.values
    inside[np.arange(120), answers.predicted] = True
    assert rows["dog"]["coverage"] == inside[40:80, 1].mean()
    assert rows["dog"]["size"] == inside[40:80].sum(axis=1).mean()
    assert rows[ALL_CLASSES]["coverage"] == inside[np.arange(120), answers.labels].mean()
    assert rows[ALL_CLASSES]["coverage_low"] < 0.9 < rows[ALL_CLASSES]["coverage_high"]
    assert (
        rows[ALL_CLASSES]["size_low"] < rows[ALL_CLASSES]["size"] < rows[ALL_CLASSES]["size_high"]
    )
    assert set_measures(table)["set_size"] == rows[ALL_CLASSES]["size"]


def test_sets_keep_their_classes_where_another_runtime_rounds_otherwise() -> None:
    validation = draw([60, 60, 60])
    given = validation.probabilities[np.arange(180), validation.labels]
    fitted = fit_sets(validation, 0.9)
    rounded = given * (1 - 1e-5) >= fitted.values[validation.labels]
    # The sixth lowest of 60 sets the threshold, since floor(61 * 0.1) is 6.
    assert np.bincount(validation.labels[rounded]).tolist() == [55, 55, 55]


def test_class_with_few_validation_images_is_named() -> None:
    fitted = fit_sets(draw([60, 60, 8]), 0.9)
    table = sets_table(draw([40, 40, 40], seed=1), fitted, 0.9)
    assert table["quantile"].tolist() == ["own", "own", "all classes", "", ""]
    first, second = set_lines(table)
    assert first.startswith("prediction sets hold the class of ")
    assert "too few validation images of wolf" in second


def test_of_many_classes_with_few_validation_images_some_are_named() -> None:
    names = [f"class {number:03d}" for number in range(300)]
    table = pd.DataFrame({"class": names, "quantile": ALL_CLASSES})
    overall = {"class": ALL_CLASSES, "coverage": 1.0, "coverage_low": 0.9, "coverage_high": 1.0}
    table = pd.concat([table, pd.DataFrame([overall | {"size": 2.0}])], ignore_index=True)
    assert "class 018, class 019 and 280 more for a threshold" in set_lines(table)[1]


def test_thresholds_from_other_test_images_cover_as_asked() -> None:
    shares = []
    for seed in range(40):
        answers = draw([50, 50, 50], seed)
        table = sets_table(answers, fit_sets(answers, 0.9), 0.9).set_index("class")
        shares.append(table.loc[ALL_UNSEEN, "coverage"])
    # A little more than asked: each class has thresholds from 45 images.
    assert 0.9 <= np.mean(shares) <= 0.93


def test_class_without_test_images_has_an_empty_row() -> None:
    table = sets_table(draw([40, 40, 0]), fit_sets(draw([60, 60, 60]), 0.9), 0.9)
    row = table.set_index("class").to_dict("index")["wolf"]
    assert row["images"] == 0
    assert np.isnan(row["coverage"])


def test_sets_of_one_size_may_be_larger_on_other_images() -> None:
    labels = np.arange(300) % 3
    answers = answers_with(np.eye(3)[labels], labels, CLASSES)
    table = sets_table(answers, fit_sets(answers, 0.9), 0.9).set_index("class")
    row = table.to_dict("index")[ALL_CLASSES]
    assert row["size_low"] == row["size"] == 1
    assert 1.005 < row["size_high"] < 1.02
