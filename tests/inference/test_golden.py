import numpy as np

from classifier.inference.golden import choose_golden, compare_answers


def test_chosen_images_reach_from_the_least_to_the_most_confident() -> None:
    leads = np.random.default_rng(0).permutation(100).astype(np.float32)
    logits = np.stack([leads, np.zeros(100, np.float32)], axis=1)
    chosen = choose_golden(logits, 5)
    assert leads[chosen].tolist() == [0, 24, 49, 74, 99]


def test_few_images_are_all_chosen_once() -> None:
    assert sorted(choose_golden(np.zeros((3, 2), np.float32), 8)) == [0, 1, 2]


def test_answers_within_the_tolerance_pass() -> None:
    expected = np.array([[0.7, 0.3]])
    assert compare_answers(np.array([[0.65, 0.35]]), expected, 0.1).passed
    replay = compare_answers(np.array([[0.55, 0.45]]), expected, 0.1)
    assert not replay.passed
    assert replay.other_classes == 0


def test_other_class_fails_unless_both_are_as_good_as_equal() -> None:
    far, near = np.array([[0.56, 0.44]]), np.array([[0.52, 0.48]])
    other = np.array([[0.49, 0.51]])
    assert compare_answers(other, far, 0.1).other_classes == 1
    assert not compare_answers(other, far, 0.1).passed
    assert compare_answers(other, near, 0.1).passed


def test_what_is_no_number_fails() -> None:
    assert not compare_answers(np.array([[np.nan, 1]]), np.array([[0.0, 1.0]]), 0.1).passed
