import numpy as np
import pytest
from builders.answers import answers_with

from classifier.core.errors import UserError
from classifier.evaluation.decisions.costs import SAVED, cost_lines, costs_of, costs_table
from classifier.evaluation.params import CostParams

CLASSES = ["cat", "dog", "wolf"]
GIVEN = np.array([[0.6, 0.3, 0.1], [0.2, 0.45, 0.35], [0.05, 0.05, 0.9], [0.3, 0.5, 0.2]])
ANSWERS = answers_with(GIVEN, np.array([0, 2, 2, 0]), CLASSES)


def params(**given: object) -> CostParams:
    return CostParams.model_validate(given)


def test_errors_that_are_not_named_cost_one() -> None:
    costs = costs_of(params(errors={"wolf": {"dog": 10}}), CLASSES)
    assert costs.errors == [[0, 1, 1], [1, 0, 1], [1, 10, 0]]
    assert costs_of(params(reject=0.2), CLASSES).errors is None


def test_class_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="names fox, which is no class; the classes are cat, dog"):
        costs_of(params(errors={"wolf": {"fox": 2}}), CLASSES)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "names no cost"),
        ({"errors": {"cat": {"cat": 1}}}, "cat for cat is no error"),
        ({"errors": {"cat": {"dog": -1}}}, "greater than or equal to 0"),
    ],
)
def test_costs_without_sense_are_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        params(**given)


def test_table_has_what_the_costs_save() -> None:
    costs = costs_of(params(errors={"wolf": {"dog": 10}}), CLASSES)
    table = costs_table(ANSWERS, costs).set_index("decision")
    # A wolf and a cat looked like dogs: as dear as a dog is, they are no dogs.
    assert table["mean_cost"].tolist() == [11 / 4, 0, 11 / 4]
    assert table["answered_accuracy"].tolist()[:2] == [0.5, 1.0]
    saved = table.to_dict("index")[SAVED]
    assert -10 < saved["low"] < 11 / 4 < saved["high"] < 10
    (line,) = cost_lines(table.reset_index())
    interval = f"95% {saved['low']:+.4f} to {saved['high']:+.4f}"
    assert f"0.0000 for an image instead of 2.7500, 2.7500 less ({interval})" in line


def test_costs_without_an_error_may_still_be_higher_on_other_images() -> None:
    labels = np.arange(300) % 3
    right = answers_with(np.eye(3)[labels], labels, CLASSES)
    for row in costs_table(right, costs_of(params(reject=0.2), CLASSES)).to_dict("records"):
        # By the rule of three, at most one error in 100 images is plausible.
        assert row["mean_cost"] == 0
        assert row["high"] == pytest.approx(0.01, rel=0.1)
        assert row["low"] == (-row["high"] if row["decision"] == SAVED else 0)


def test_rejected_images_pay_the_cost_of_rejection() -> None:
    table = costs_table(ANSWERS, costs_of(params(reject=0.5), CLASSES)).set_index("decision")
    row = table.to_dict("index")["least expected cost"]
    assert row["mean_cost"] == (0 + 0.5 + 0 + 1) / 4
    assert row["unknown_share"] == 0.25


def test_costs_that_make_it_worse_are_told_as_such() -> None:
    # The most probable class, with 0.8, is right for all images, and all are refused.
    labels = np.array([0, 2, 2, 0])
    right = answers_with(np.eye(3)[labels] * 0.7 + 0.1, labels, CLASSES)
    (line,) = cost_lines(costs_table(right, costs_of(params(reject=0.05), CLASSES)))
    assert "0.0500 MORE" in line
    assert "the most probable class would cost less here" in line


def test_without_costs_there_are_no_rows_and_no_line() -> None:
    table = costs_table(ANSWERS, None)
    assert table.empty
    assert cost_lines(table) == []
