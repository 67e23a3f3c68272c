import numpy as np

from classifier.inference.golden import Golden, choose_golden, golden_content


def test_chosen_images_reach_from_the_least_to_the_most_confident() -> None:
    leads = np.random.default_rng(0).permutation(100).astype(np.float32)
    logits = np.stack([leads, np.zeros(100, np.float32)], axis=1)
    chosen = choose_golden(logits, 5)
    assert leads[chosen].tolist() == [0, 24, 49, 74, 99]


def test_few_images_are_all_chosen_once() -> None:
    assert sorted(choose_golden(np.zeros((3, 2), np.float32), 8)) == [0, 1, 2]


def golden(expected: list[float], tolerance: float, reject_below: float | None = None) -> Golden:
    """What is expected of one image by `model`, of the classes a and b."""
    given = np.array([expected])
    content = golden_content(["a", "b"], 1.0, {"model": given}, reject_below)
    images = np.zeros((1, 2, 2, 3), np.uint8)
    labels = content["labels"]
    return Golden(
        images, ["a", "b"], 1.0, reject_below, {"model": given}, labels, {"model": tolerance}
    )


def test_answers_within_the_tolerance_pass() -> None:
    sure = golden([0.7, 0.3], 0.1)
    assert sure.compare("model", np.array([[0.65, 0.35]])).passed
    replay = sure.compare("model", np.array([[0.55, 0.45]]))
    assert not replay.passed
    assert replay.other_labels == 0


def test_another_class_fails_unless_both_are_as_good_as_equal() -> None:
    other = np.array([[0.49, 0.51]])
    assert golden([0.56, 0.44], 0.1).compare("model", other).other_labels == 1
    assert golden([0.52, 0.48], 0.1).compare("model", other).passed


def test_unknown_is_a_label_like_any_other() -> None:
    below, above = np.array([[0.75, 0.25]]), np.array([[0.85, 0.15]])
    assert golden([0.7, 0.3], 0.1, 0.82).compare("model", below).passed
    assert golden([0.7, 0.3], 0.2, 0.82).labels == {"model": ["unknown"]}
    assert golden([0.95, 0.05], 0.11, 0.82).compare("model", above).passed
    assert golden([0.95, 0.05], 0.12, 0.82).compare("model", below).other_labels == 1


def test_a_confidence_close_to_the_threshold_may_fall_on_either_side() -> None:
    close = golden([0.85, 0.15], 0.1, 0.82)
    assert close.labels == {"model": ["a"]}
    assert close.compare("model", np.array([[0.80, 0.20]])).passed


def test_what_is_no_number_fails() -> None:
    assert not golden([0.0, 1.0], 0.1).compare("model", np.array([[np.nan, 1]])).passed
