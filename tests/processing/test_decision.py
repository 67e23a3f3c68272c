import numpy as np
import pytest
from pydantic import ValidationError

from classifier.processing.decision import Costs, Decision, PredictionSets
from classifier.processing.rules import decide, expected_costs, in_sets

NAMES = ["cat", "dog", "wolf"]
GIVEN = np.array([[0.6, 0.3, 0.1], [0.2, 0.45, 0.35], [0.05, 0.05, 0.9]])


def labels(decision: Decision, outside: list[float] | None = None) -> list[str]:
    scores = None if outside is None else np.array(outside)
    return decide(GIVEN, scores, decision).labels(NAMES)


def test_without_rules_the_most_probable_class_is_answered() -> None:
    assert labels(Decision(reject_below=None)) == ["cat", "dog", "wolf"]


def test_low_confidence_is_unknown_and_says_so() -> None:
    decision = Decision(reject_below=0.6)
    assert labels(decision) == ["cat", "unknown", "wolf"]
    assert decide(GIVEN, None, decision).reasons == [None, "low confidence", None]


def test_image_above_the_outside_threshold_is_none_of_the_classes() -> None:
    decision = Decision(reject_below=0.5, outside_above=1.5)
    decided = decide(GIVEN, np.array([1.5, 1.6, 9.0]), decision)
    assert decided.reasons == [None, "none of the classes", "none of the classes"]
    assert decided.classes.tolist() == [0, 1, 2]


def test_model_without_outside_scores_refuses_no_image_for_them() -> None:
    assert labels(Decision(reject_below=None, outside_above=0.0)) == ["cat", "dog", "wolf"]


def test_dear_error_makes_a_less_probable_class_the_answer() -> None:
    # To take a wolf for a dog is dear.
    costs = Costs(reject=None, errors=[[0, 1, 1], [1, 0, 1], [1, 10, 0]])
    assert labels(Decision(reject_below=None, costs=costs)) == ["cat", "wolf", "wolf"]
    assert expected_costs(GIVEN, costs)[1] == pytest.approx([0.8, 0.2 + 3.5, 0.65])


def test_rejection_is_chosen_where_it_costs_less_than_an_error_is_expected_to() -> None:
    decision = Decision(reject_below=None, costs=Costs(reject=0.4, errors=None))
    assert labels(decision) == ["cat", "unknown", "wolf"]
    assert decide(GIVEN, None, decision).reasons[1] == "expected cost"


def test_cost_of_rejection_is_a_threshold_of_confidence() -> None:
    given = np.random.default_rng(0).dirichlet(np.ones(4), 500)
    by_cost = decide(given, None, Decision(reject_below=None, costs=Costs(reject=0.3, errors=None)))
    by_threshold = decide(given, None, Decision(reject_below=0.7))
    assert by_cost.labels([*"abcd"]) == by_threshold.labels([*"abcd"])


def test_set_holds_every_class_from_its_threshold_on_and_always_the_most_probable() -> None:
    sets = PredictionSets(coverage=0.9, thresholds=[0.65, 0.3, 0.35])
    assert in_sets(GIVEN, sets).tolist() == [
        [True, True, False],
        [False, True, True],
        [False, False, True],
    ]


def test_costs_of_another_shape_are_refused() -> None:
    with pytest.raises(ValidationError, match="as many columns as rows"):
        Costs(reject=None, errors=[[0.0, 1.0]])
