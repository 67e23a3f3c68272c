from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders.colours import write_models

from classifier.core.errors import UserError
from classifier.inference.golden import (
    Golden,
    GoldenAnswers,
    GoldenInputs,
    Replay,
    choose_golden,
    golden_content,
)
from classifier.inference.golden_reader import read_golden
from classifier.inference.onnx_runtime import load_exported
from classifier.processing.decision import Costs, Decision


def test_chosen_images_reach_from_the_least_to_the_most_confident() -> None:
    leads = np.random.default_rng(0).permutation(100).astype(np.float32)
    logits = np.stack([leads, np.zeros(100, np.float32)], axis=1)
    chosen = choose_golden(logits, 5)
    assert leads[chosen].tolist() == [0, 24, 49, 74, 99]


def test_few_images_are_all_chosen_once() -> None:
    assert sorted(choose_golden(np.zeros((3, 2), np.float32), 8)) == [0, 1, 2]


def two_classes(reject_below: float | None = None) -> GoldenInputs:
    images = np.zeros((1, 2, 2, 3), np.uint8)
    decision = Decision(reject_below=reject_below)
    return GoldenInputs(images, images[None], ["a", "b"], 1.0, "probabilities", decision)


def compare(
    expected: list[float],
    given: list[float],
    tolerance: float = 0.1,
    reject_below: float | None = None,
) -> Replay:
    golden = Golden(two_classes(reject_below), {}, {"model": tolerance})
    return golden.compare(
        "model", *(GoldenAnswers(np.array([one]), None) for one in (given, expected))
    )


def test_answers_within_the_tolerance_pass() -> None:
    assert compare([0.7, 0.3], [0.65, 0.35]).passed
    replay = compare([0.7, 0.3], [0.55, 0.45])
    assert not replay.passed
    assert replay.other_labels == 0


def test_another_class_fails_unless_both_are_as_good_as_equal() -> None:
    assert compare([0.56, 0.44], [0.49, 0.51]).other_labels == 1
    assert compare([0.52, 0.48], [0.49, 0.51]).passed


def test_unknown_is_a_label_like_any_other() -> None:
    below, above = [0.75, 0.25], [0.85, 0.15]
    assert compare([0.7, 0.3], below, 0.1, 0.82).passed
    assert compare([0.95, 0.05], above, 0.11, 0.82).passed
    assert compare([0.95, 0.05], below, 0.12, 0.82).other_labels == 1


def test_a_confidence_close_to_the_threshold_may_fall_on_either_side() -> None:
    assert compare([0.85, 0.15], [0.80, 0.20], 0.1, 0.82).passed


def compare_outside(expected: float, given: float | None, above: float) -> Replay:
    decision = Decision(reject_below=None, outside_above=above)
    golden = Golden(replace(two_classes(), decision=decision), {}, {"model": 0.1})
    answers = (
        GoldenAnswers(np.array([[0.9, 0.1]]), None if score is None else np.array([score]))
        for score in (given, expected)
    )
    return golden.compare("model", *answers)


def test_outside_score_may_differ_by_ten_times_the_tolerance() -> None:
    assert compare_outside(0.5, 1.4, above=3.0).passed
    assert not compare_outside(0.5, 1.6, above=3.0).passed


def test_image_far_from_the_outside_threshold_must_stay_on_its_side() -> None:
    assert compare_outside(2.5, 3.2, above=3.0).passed
    assert compare_outside(1.5, 3.2, above=3.0).other_labels == 1


def test_file_that_gives_no_score_any_more_fails() -> None:
    assert not compare_outside(0.5, None, above=3.0).passed


@pytest.mark.parametrize(("given", "passed"), [(0.45, True), (0.3, False), (None, False)])
def test_similarity_may_differ_by_the_tolerance(given: float | None, passed: bool) -> None:
    golden = Golden(two_classes(), {}, {"model": 0.1})
    answers = (
        GoldenAnswers(np.array([[0.9, 0.1]]), None, None if one is None else np.array([[one]]))
        for one in (given, 0.5)
    )
    assert golden.compare("model", *answers).passed is passed


def test_export_of_an_earlier_version_expects_no_similarities() -> None:
    known, unknown = (
        GoldenAnswers(np.array([[0.9, 0.1]]), None, one) for one in (np.array([[0.5]]), None)
    )
    assert Golden(two_classes(), {}, {"model": 0.1}).compare("model", known, unknown).passed


def test_similarities_to_training_images_are_replayed(tmp_path: Path) -> None:
    folder = write_models(tmp_path, with_similar=True) / "export"
    golden, model = read_golden(folder), load_exported(folder, "model.onnx")
    assert ", of a similarity " in golden.replay("model.onnx", model)
    for part in golden.expected["model.onnx"]:
        assert part.similarity is not None
        part.similarity[:] += 0.01
    with pytest.raises(UserError, match=r"of a similarity 0\.01"):
        golden.replay("model.onnx", model)


def test_what_is_no_number_fails() -> None:
    assert not compare([0.0, 1.0], [np.nan, 1]).passed
    assert not compare_outside(0.5, np.nan, above=3.0).passed


def test_costs_are_as_good_as_equal_within_the_tolerance_times_the_largest() -> None:
    costs = Costs(reject=None, errors=[[0, 10], [1, 0]])
    decision = Decision(reject_below=None, costs=costs)
    golden = Golden(replace(two_classes(), decision=decision), {}, {"model": 0.1})

    def other_labels(given: float, expected: float) -> int:
        answers = (
            GoldenAnswers(np.array([[share, 1 - share]]), None) for share in (given, expected)
        )
        return golden.compare("model", *answers).other_labels

    assert other_labels(0.05, 0.12) == 0
    assert other_labels(0.05, 0.9) == 1


def test_written_labels_are_those_of_the_decision() -> None:
    given = GoldenAnswers(np.array([[0.7, 0.3]]), None)
    content = golden_content(two_classes(0.82), {"model": (given, given)})
    assert content["labels"] == {"model": ["unknown"]}


def test_views_of_test_time_augmentation_are_replayed_too(tmp_path: Path) -> None:
    folder = write_models(tmp_path, golden_tta_error=0.01) / "export"
    model = load_exported(folder, "model.onnx")
    with pytest.raises(UserError, match=r"largest difference of a probability 0\.01"):
        read_golden(folder).replay("model.onnx", model)
