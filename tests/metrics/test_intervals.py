import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest

from classifier.metrics.classification import balanced_accuracy, class_scores
from classifier.metrics.intervals import bootstrap, mcnemar, mean_interval, paired_gain, wilson


def outcomes(both: int, corrected: int, regressed: int, neither: int) -> tuple[np.ndarray, ...]:
    before = np.repeat([True, False, True, False], [both, corrected, regressed, neither])
    after = np.repeat([True, True, False, False], [both, corrected, regressed, neither])
    return before, after


def test_paired_gain_of_a_published_example():
    # The airway reactivity data of Fagerland, Lydersen and Laake, Statistics in Medicine 33
    # (2014) 2850-2875, who give -0.51 to -0.01 for this interval; the exact test keeps zero.
    gain = paired_gain(*outcomes(1, 1, 7, 12))
    assert (gain.corrected, gain.regressed) == (1, 7)
    assert gain.gain == pytest.approx(-6 / 21)
    assert (gain.low, gain.high) == (pytest.approx(-0.508, abs=5e-4), 0)
    assert gain.p_value == pytest.approx(0.0703, abs=5e-5)
    assert not gain.is_certain


@pytest.mark.parametrize("images", [20, 100, 2000])
def test_the_interval_excludes_zero_where_the_exact_test_does(images: int):
    for corrected, regressed in product(range(11), repeat=2):
        gain = paired_gain(*outcomes(images - corrected - regressed, corrected, regressed, 0))
        assert gain.is_certain == (gain.p_value < 0.05), gain


def test_a_gain_without_any_disagreement_is_uncertain_still():
    gain = paired_gain(*outcomes(95, 0, 0, 5))
    assert gain.gain == 0
    assert gain.high == -gain.low == pytest.approx(1.959964 * np.sqrt(2) / 102)
    assert not gain.is_certain


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(0, 40)] * 4).filter(lambda counts: sum(counts) > 0))
def test_swapping_before_and_after_turns_the_gain_round(counts: tuple[int, int, int, int]):
    before, after = outcomes(*counts)
    gain, loss = paired_gain(before, after), paired_gain(after, before)
    assert gain.gain == pytest.approx(after.mean() - before.mean())
    assert (gain.low, gain.high) == pytest.approx((-loss.high, -loss.low))
    assert -1 <= gain.low < gain.high <= 1


def test_the_interval_covers_the_true_gain_in_95_of_100_samples():
    generator = np.random.default_rng(0)
    samples = generator.multinomial(100, [0.8, 0.07, 0.03, 0.1], size=2000)
    intervals = [paired_gain(*outcomes(*sample)) for sample in samples]
    covered = np.mean([gain.low <= 0.04 <= gain.high for gain in intervals])
    assert 0.94 <= covered <= 0.97


@settings(max_examples=50, deadline=None)
@given(corrected=st.integers(0, 3000), regressed=st.integers(0, 3000))
def test_mcnemar_is_the_exact_binomial_test(corrected: int, regressed: int):
    total = corrected + regressed
    expected = binomtest(corrected, total).pvalue if total else 1.0
    assert mcnemar(corrected, regressed) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_gain_says_its_interval_and_p_value():
    said = str(paired_gain(*outcomes(90, 2, 1, 7)))
    assert said == "+0.0100 (95% interval -0.0331 to +0.0527, McNemar p = 1)"


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


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_is_scipys_interval_of_a_share(hits: int, misses: int):
    total = hits + misses
    low, high = wilson(np.array([hits]), np.array([total]))
    if total == 0:
        expected = (0.0, 1.0)
    else:
        found = binomtest(hits, total).proportion_ci(method="wilson")
        expected = (found.low, found.high)
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("shares", "most"), [({0: 0.997, 1: 0.003}, 1), ({0: 0.98, 1: 0.018, 10: 0.002}, 10)]
)
def test_intervals_of_means_of_rare_values_cover_the_truth(shares: dict[int, float], most: int):
    generator = np.random.default_rng(0)
    values, weights = np.array([*shares]), np.array([*shares.values()])
    drawn = generator.choice(values, (1000, 360), p=weights)
    intervals = [mean_interval(sample, 0, most) for sample in drawn]
    assert np.mean([low <= values @ weights <= high for low, high in intervals]) > 0.94


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 5), min_size=2, max_size=50))
def test_interval_of_a_mean_holds_it_and_only_possible_values(values: list[float]):
    low, high = mean_interval(np.array(values), 0, 5)
    assert 0 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 5
