import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from classifier.metrics.bootstrap import bootstrap
from classifier.metrics.classification import balanced_accuracy, class_scores


def noisy(share: float, images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and predictions of which about `share` are right."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    wrong = (labels + generator.integers(1, classes, images)) % classes
    return np.where(generator.random(images) < share, labels, wrong), labels


def test_intervals_hold_the_measured_values_and_repeat():
    predicted, labels = noisy(0.8, 200, 5)
    intervals = bootstrap(predicted, labels, 5)
    values = {
        "accuracy": (predicted == labels).mean(),
        "balanced_accuracy": balanced_accuracy(predicted, labels),
        "macro_f1": class_scores(predicted, labels, 5).f1.mean(),
    }
    assert list(intervals) == list(values)
    for name, value in values.items():
        assert intervals[name].low < value < intervals[name].high
    assert bootstrap(predicted, labels, 5) == intervals


@pytest.mark.parametrize(("share", "images"), [(0.98, 300), (0.8, 60)])
def test_intervals_cover_the_truth_in_about_95_of_100_samples(share: float, images: int):
    covered = []
    for seed in range(300):
        intervals = bootstrap(*noisy(share, images, 3, seed), 3)
        # Mistakes are spread evenly, so that the three measures agree in truth.
        covered.append([low <= share <= high for low, high in intervals.values()])
    assert (np.mean(covered, axis=0) > 0.91).all()


@pytest.mark.parametrize("per_class", [1, 2])
def test_intervals_of_many_classes_with_few_images_cover_the_truth(per_class: int):
    covered = []
    for seed in range(200):
        intervals = bootstrap(*noisy(0.6, 100 * per_class, 100, seed), 100)
        # The expectation of macro F1 is another one.
        both = (intervals["accuracy"], intervals["balanced_accuracy"])
        covered.append([low <= 0.6 <= high for low, high in both])
    assert (np.mean(covered, axis=0) > 0.91).all()


@pytest.mark.parametrize("sizes", [(100, 100, 1), (100, 100, 3), (100, 100, 1, 1, 1)])
def test_intervals_beside_few_images_of_small_classes_cover_the_truth(sizes: tuple[int, ...]):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    recalls = np.where(np.array(sizes) < 10, 0.6, 0.9)
    covered = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        wrong = (labels + generator.integers(1, len(sizes), len(labels))) % len(sizes)
        predicted = np.where(generator.random(len(labels)) < recalls[labels], labels, wrong)
        low, high = bootstrap(predicted, labels, len(sizes))["balanced_accuracy"]
        covered.append(low <= recalls.mean() <= high)
    assert np.mean(covered) > 0.91


def test_nine_images_of_small_classes_widen_an_interval_as_parts_of_a_sum():
    # The class of ten is resampled by itself; of the other two, 6 of 9 are right.
    labels = np.repeat(np.arange(4), (100, 10, 4, 5))
    predicted = labels.copy()
    predicted[:6], predicted[100:102], predicted[112:115] = 1, 0, 0
    right, large = predicted == labels, labels < 2
    of_large, found = bootstrap(predicted[large], labels[large], 2), bootstrap(predicted, labels, 4)
    ends, share = binomtest(6, 9).proportion_ci(method="wilson"), 6 / 9
    cases = {
        "accuracy": (9 / 119, right[large].mean(), right.mean()),
        "balanced_accuracy": (2 / 4, (0.94 + 0.8) / 2, (0.94 + 0.8 + 2 / 4 + 4 / 5) / 4),
    }
    for name, (weight, among_large, value) in cases.items():
        low, high = of_large[name]
        down = math.hypot((1 - weight) * (among_large - low), weight * (share - ends.low))
        up = math.hypot((1 - weight) * (high - among_large), weight * (ends.high - share))
        assert found[name] == pytest.approx((value - down, value + up))


def test_interval_where_each_image_has_a_class_of_its_own_is_that_of_a_share():
    labels = np.arange(300)
    predicted = np.where(labels < 150, (labels + 1) % 300, labels)
    expected = binomtest(150, 300).proportion_ci(method="wilson")
    for interval in bootstrap(predicted, labels, 300).values():
        assert interval == pytest.approx((expected.low, expected.high), abs=0.01)


@pytest.mark.parametrize(("images", "wrong"), [(100, 5), (200, 6), (60, 3), (300, 4)])
def test_interval_of_few_mistakes_is_scipys_bca(images: int, wrong: int):
    predicted = (np.arange(images) < wrong).astype(int)
    found = bootstrap(predicted, np.zeros(images, int), 2)["accuracy"]
    expected = stats.bootstrap(
        (predicted == 0,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(0)
    ).confidence_interval
    # A step is one image.
    assert found == pytest.approx(tuple(expected), abs=0.5 / images)


def test_intervals_narrow_with_the_root_of_the_images():
    small, large = (bootstrap(*noisy(0.8, size, 4), 4)["accuracy"] for size in (400, 6400))
    assert (small.high - small.low) / (large.high - large.low) == pytest.approx(4, rel=0.1)


def test_without_a_mistake_the_rule_of_three_holds():
    labels = np.arange(100) % 4
    for low, high in bootstrap(labels, labels, 4).values():
        assert (low, high) == (0.97, 1)


def test_without_a_mistake_a_class_of_one_image_leaves_room_for_one() -> None:
    labels = np.repeat([0, 1, 2], [100, 100, 1])
    intervals = bootstrap(labels, labels, 3)
    assert intervals["accuracy"] == pytest.approx((1 - 3 / 201, 1))
    for name in ("balanced_accuracy", "macro_f1"):
        assert intervals[name] == pytest.approx((1 - 1 / 3 - 2 / 300, 1))


def test_images_of_one_class_all_taken_for_another_leave_room_too():
    intervals = bootstrap(np.zeros(100, int), np.arange(100) % 2, 2)
    assert intervals["accuracy"] == pytest.approx((0.47, 0.53))


def test_interval_leaves_out_what_right_answers_exclude() -> None:
    labels = np.repeat([0, 1], [30, 3])
    intervals = bootstrap(np.zeros(33, int), labels, 2)
    # Three of the 30 right answers may become wrong, and the three wrong ones right.
    assert intervals["balanced_accuracy"] == pytest.approx((0.5 - 3 / 60, 1))
    assert intervals["accuracy"] == pytest.approx((27 / 33, 1))


@pytest.mark.parametrize("classes", [20, 51, 90])
def test_interval_of_very_skewed_resamples_holds_the_value(classes: int):
    labels, answer = np.arange(classes), np.full(classes, 7)
    macro_f1 = class_scores(answer, labels, classes).f1.mean()
    low, high = bootstrap(answer, labels, classes)["macro_f1"]
    assert low <= macro_f1 < high


def test_classes_without_images_are_no_obstacle():
    predicted, labels = noisy(0.7, 60, 3)
    without, plain = bootstrap(predicted, labels, 6), bootstrap(predicted, labels, 3)
    for name, interval in plain.items():
        assert without[name] == pytest.approx(interval)
    assert all(math.isfinite(bound) for interval in without.values() for bound in interval)


@pytest.mark.parametrize(
    ("recalls", "images"), [([0.995] * 9 + [0.02], 36), ([0.95, 0.02], 20), ([0.1, 0.95, 0.02], 12)]
)
def test_intervals_cover_the_truth_where_a_class_is_hardly_ever_answered(
    recalls: list[float], images: int
):
    labels, covered = np.repeat(np.arange(len(recalls)), images), []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        right = generator.random(len(labels)) < np.array(recalls)[labels]
        intervals = bootstrap(np.where(right, labels, (labels + 1) % len(recalls)), labels, 10)
        # The expectation of macro F1 is another one.
        both = (intervals["accuracy"], intervals["balanced_accuracy"])
        covered.append([low <= np.mean(recalls) <= high for low, high in both])
    assert (np.mean(covered, axis=0) > 0.91).all()
