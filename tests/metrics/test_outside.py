import numpy as np
import pytest
from scipy.stats import zscore
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from classifier.metrics.kl_matching import KlMatching, fit_matching
from classifier.metrics.outside import fit_outside


def draw(images: int, seed: int, rank: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Features of 60 numbers that lie close to a subspace, and logits of 3 classes."""
    generator = np.random.default_rng(seed)
    basis = np.random.default_rng(99).normal(size=(rank, 60))
    features = generator.normal(size=(images, rank)) @ basis + 3
    return features + 0.1 * generator.normal(size=(images, 60)), generator.normal(size=(images, 3))


def matching(seed: int = 0) -> KlMatching:
    generator = np.random.default_rng(seed)
    weight, labels = generator.normal(size=(8, 60)), generator.integers(0, 3, 200)
    return fit_matching(weight / 10, np.zeros(8), draw(200, 0)[0], labels)


@pytest.mark.parametrize("matching", [None, matching()])
def test_validation_images_have_a_mean_of_0_and_a_deviation_of_1(
    matching: KlMatching | None,
) -> None:
    val = draw(80, 1)
    scores = fit_outside(draw(200, 0)[0], *val, matching)(*val)
    assert scores.mean() == pytest.approx(0, abs=1e-5)
    assert scores.std() == pytest.approx(1, abs=1e-5)


def test_features_off_the_subspace_have_high_scores() -> None:
    val, good = draw(80, 1), draw(80, 2)
    score = fit_outside(draw(200, 0)[0], *val)
    foreign = np.random.default_rng(3).normal(size=(80, 60)) * 2 + 3
    scores = np.concatenate([score(*good), score(foreign, good[1])])
    assert roc_auc_score(np.repeat([0, 1], 80), scores) > 0.95


def test_low_logits_raise_the_score() -> None:
    val = draw(80, 1)
    score = fit_outside(draw(200, 0)[0], *val)
    assert (score(val[0], val[1] - 1) > score(*val)).all()


def test_logit_weighs_twice_as_much_as_the_residual() -> None:
    features, logits = draw(80, 1)
    score = fit_outside(draw(200, 0)[0], features, 5 * logits)
    expected = zscore(zscore(score.residuals(features)) - 2 * zscore(logits.max(axis=1)))
    assert score(features, 5 * logits) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("images", "features", "count"), [(200, 60, 6), (8, 60, 4), (9, 15, 1)])
def test_subspace_has_a_direction_for_ten_features_and_two_images(
    images: int, features: int, count: int
) -> None:
    train, (val, logits) = draw(images, 0)[0][:, :features], draw(80, 1)
    assert fit_outside(train, val[:, :features], logits).directions.shape == (features, count)


def test_divergence_raises_the_score_by_half_its_deviations() -> None:
    val = draw(80, 1)
    plain, matched = (fit_outside(draw(200, 0)[0], *val, one) for one in (None, matching()))
    divergences = matched.divergences(val[0])
    expected = plain(*val) + 0.5 * (divergences - divergences.mean()) / divergences.std()
    assert matched(*val) == pytest.approx(expected / expected.std(), abs=1e-4)


def test_divergences_that_hardly_differ_hardly_count() -> None:
    val = draw(80, 1)
    flat = fit_matching(np.full((8, 60), 1e-6), np.zeros(8), draw(200, 0)[0], np.arange(200) % 3)
    plain, matched = (fit_outside(draw(200, 0)[0], *val, one) for one in (None, flat))
    assert matched(*val) == pytest.approx(plain(*val), abs=1e-4)


@pytest.mark.parametrize("logits", [1.0, 1e-6])
@pytest.mark.parametrize("left", [0.1, 1e-3, 1e-7])
def test_noise_of_float32_hardly_changes_the_score(left: float, logits: float) -> None:
    generator = np.random.default_rng(4)
    basis = generator.normal(size=(2, 60))

    def drawn(images: int) -> tuple[np.ndarray, np.ndarray]:
        features = generator.normal(size=(images, 2)) @ basis + 3
        noise = left * generator.normal(size=features.shape)
        return features + noise, 10 + logits * generator.normal(size=(images, 2))

    features, val, good = drawn(40)[0], drawn(8), drawn(40)
    score = fit_outside(features, *val)
    others = [part * (1 + 1e-7 * generator.normal(size=part.shape)) for part in good]
    assert score(*others) == pytest.approx(score(*good), abs=0.005)


@pytest.mark.parametrize("images", [40, 200])
def test_residual_is_what_a_principal_component_analysis_leaves(images: int) -> None:
    features, _ = draw(images, 0)
    score = fit_outside(features, *draw(80, 1))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    standard = (unit - unit.mean(axis=0)) / unit.std(axis=0)
    oracle = PCA(score.directions.shape[1]).fit(standard)
    left = standard - oracle.inverse_transform(oracle.transform(standard))
    assert score.residuals(features) == pytest.approx(np.linalg.norm(left, axis=1), abs=1e-3)


def test_length_of_the_features_does_not_matter() -> None:
    val = draw(80, 1)
    score = fit_outside(draw(200, 0)[0], *val)
    assert score(val[0] * 7, val[1]) == pytest.approx(score(*val), abs=1e-4)


def test_features_that_never_change_and_equal_images_give_numbers() -> None:
    features = np.zeros((20, 16))
    features[:, 0] = 1
    score = fit_outside(features, features[:5], np.ones((5, 2)))
    assert np.isfinite(score(features, np.ones((20, 2)))).all()
