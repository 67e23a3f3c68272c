import numpy as np
from builders.colours import CLASSES

from classifier.inference.answer import Answer
from classifier.processing.decision import Costs, Decision


def test_answer_below_the_threshold_is_unknown_and_keeps_its_probability() -> None:
    answer = Answer(CLASSES, np.array([0.2, 0.5, 0.3]), Decision(reject_below=0.6))
    assert (answer.label, answer.index, answer.probability) == ("unknown", None, 0.5)
    assert answer.best.label == "green"
    at_threshold = Answer(CLASSES, np.array([0.2, 0.5, 0.3]), Decision(reject_below=0.5))
    assert (at_threshold.label, at_threshold.index) == ("green", 1)


def test_classes_beside_the_cheapest_are_all_others_the_most_probable_first() -> None:
    costs = Costs(errors=[[0, 1, 1], [9, 0, 1], [1, 1, 0]], reject=None)
    answer = Answer(CLASSES, np.array([0.5, 0.3, 0.2]), Decision(reject_below=None, costs=costs))
    assert (answer.best.index, answer.probability) == (1, 0.3)
    assert [one.index for one in answer.beside_best(2)] == [0, 2]
    assert [one.index for one in answer.beside_best(1)] == [0]
    assert answer.beside_best(0) == []


def test_unknown_answer_has_the_highest_probability_also_where_another_class_costs_less() -> None:
    costs = Costs(errors=[[0, 1, 1], [9, 0, 1], [1, 1, 0]], reject=0.1)
    answer = Answer(CLASSES, np.array([0.5, 0.3, 0.2]), Decision(reject_below=None, costs=costs))
    assert (answer.reason, answer.probability) == ("expected cost", 0.5)
    assert [one.index for one in answer.beside_best(2)] == [1, 2]


def test_top_is_sorted_and_no_longer_than_there_are_classes() -> None:
    answer = Answer(CLASSES, np.array([0.3, 0.4, 0.3]))
    assert [one.label for one in answer.top(5)] == ["green", "red", "blue"]
    assert [one.index for one in answer.top(2)] == [1, 0]
