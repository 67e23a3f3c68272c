import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from classifier.metrics.conformal import fewest_images, set_thresholds


def draw(images: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels that are drawn from them."""
    generator = np.random.default_rng(seed)
    given = generator.dirichlet(np.full(classes, 0.6), images)
    return given, (given.cumsum(axis=1) < generator.random((images, 1))).sum(axis=1)


class _Known(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose features are its probabilities."""

    classes_ = np.arange(4)

    def fit(self, x: np.ndarray, y: np.ndarray) -> "_Known":
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def test_sets_are_those_of_mapie_where_all_classes_share_a_quantile() -> None:
    # Of each class fewer images than a quantile of its own needs.
    calibration, labels = draw(70)
    shown, _ = draw(200, seed=1)
    coverage = 0.98
    oracle = SplitConformalClassifier(
        _Known(), confidence_level=coverage, conformity_score="lac", prefit=True
    ).conformalize(calibration, labels)
    _, expected = oracle.predict_set(shown)
    fitted = set_thresholds(calibration, labels, coverage)
    assert not fitted.own.any()
    assert (shown >= fitted.values).tolist() == expected[:, :, 0].tolist()


def test_class_with_enough_images_has_the_quantile_of_mapie_on_its_images_alone() -> None:
    calibration, labels = draw(900)
    shown, _ = draw(200, seed=1)
    fitted = set_thresholds(calibration, labels, 0.9)
    assert fitted.own.all()
    for label in range(4):
        own = labels == label
        oracle = SplitConformalClassifier(
            _Known(), confidence_level=0.9, conformity_score="lac", prefit=True
        ).conformalize(calibration[own], labels[own])
        _, expected = oracle.predict_set(shown)
        inside = shown[:, label] >= fitted.values[label]
        assert inside.tolist() == expected[:, label, 0].tolist()


@pytest.mark.parametrize(
    ("coverage", "fewest"), [(0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1), (0.85, 6), (0.7, 3)]
)
def test_so_many_images_are_needed_for_a_quantile(coverage: float, fewest: int) -> None:
    assert fewest_images(coverage) == fewest
    given, labels = np.full((fewest, 1), 0.5), np.zeros(fewest, int)
    assert set_thresholds(given, labels, coverage).values.tolist() == [0.5]
    # One less, and nothing but all classes is certain enough.
    assert set_thresholds(given[1:], labels[1:], coverage).values.tolist() == [0.0]


@given(st.integers(0, 1000), st.sampled_from([0.8, 0.9, 0.95]))
def test_as_many_calibration_images_are_covered_as_asked(seed: int, coverage: float) -> None:
    given, labels = draw(60, classes=2, seed=seed)
    fitted = set_thresholds(given, labels, coverage)
    covered = given[np.arange(60), labels] >= fitted.values[labels]
    for own in [labels == label for label in (0, 1) if fitted.own[label]]:
        assert covered[own].mean() >= coverage


def test_new_images_of_every_class_are_covered() -> None:
    shares = []
    for seed in range(300):
        given, labels = draw(160, seed=seed)
        fitted = set_thresholds(given[:120], labels[:120], 0.9)
        covered = given[120:][np.arange(40), labels[120:]] >= fitted.values[labels[120:]]
        shares.append([covered[labels[120:] == label].mean() for label in range(4)])
    assert np.nanmean(shares, axis=0).min() >= 0.89


def test_coverage_holds_over_all_images_where_rare_classes_are_hard() -> None:
    shares = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        labels = generator.choice(12, 900, p=[0.4, 0.4, *[0.02] * 10])
        logits = generator.normal(size=(900, 12)) + np.repeat([2.0, 0.0], [2, 10])
        logits[np.arange(900), labels] += np.where(labels < 2, 4, 0)
        given = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        fitted = set_thresholds(given[:300], labels[:300], 0.9)
        assert fitted.own[:2].all()
        assert not fitted.own.all()
        shares.append((given[np.arange(900), labels] >= fitted.values[labels])[300:].mean())
    assert np.mean(shares) >= 0.895


def test_a_class_has_a_threshold_of_its_own_from_the_fewest_images_on():
    labels = np.repeat([0, 1], [fewest_images(0.95), fewest_images(0.95) - 1])
    given = np.full((len(labels), 2), 0.5)
    assert set_thresholds(given, labels, 0.95).own.tolist() == [True, False]
