import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from classifier.metrics.kl_matching import fit_matching

GENERATOR = np.random.default_rng(0)
WEIGHT, BIAS = GENERATOR.normal(size=(9, 16)).astype(np.float32), GENERATOR.normal(size=9)
FEATURES, LABELS = GENERATOR.normal(size=(60, 16)), np.arange(60) % 3


def test_divergence_is_that_from_the_nearest_template() -> None:
    shares = softmax(FEATURES @ WEIGHT.T + BIAS, axis=1)
    templates = [shares[label == LABELS].mean(axis=0) for label in range(3)]
    oracle = np.min([entropy(shares, template, axis=1) for template in templates], axis=0)
    matching = fit_matching(WEIGHT, BIAS, FEATURES, LABELS)
    assert matching(FEATURES) == pytest.approx(oracle, abs=0.03)  # of the weights in 255 steps


def test_weights_take_a_byte_each_and_are_off_by_half_a_step_at_most() -> None:
    matching = fit_matching(WEIGHT, BIAS, FEATURES, LABELS)
    assert matching.weight.dtype == np.int8
    off = np.abs(matching.weight * matching.scale[:, None] - WEIGHT)
    assert (off <= matching.scale[:, None] * 0.5001).all()


def test_class_of_the_pretrained_network_that_no_template_has_is_far() -> None:
    shown = np.argmax(FEATURES @ WEIGHT.T + BIAS, axis=1)
    known = shown < 7
    matching = fit_matching(WEIGHT, BIAS, 5 * FEATURES[known], LABELS[known])
    others = matching(5 * FEATURES[~known])
    assert others.min() > np.median(matching(5 * FEATURES[known]))


def test_of_many_classes_the_thousand_that_training_images_get_take_part() -> None:
    rare = np.full(500, -50.0)
    bias = np.concatenate([rare, np.zeros(1000)])
    weight = GENERATOR.normal(size=(1500, 16))
    matching = fit_matching(weight, bias, FEATURES, LABELS)
    assert matching.weight.shape == (1000, 16)
    assert matching.templates.shape == (3, 1000)
    assert matching.bias.max() == matching.bias.min() == 0


def test_class_without_training_images_has_no_template() -> None:
    assert (
        len(fit_matching(WEIGHT, BIAS, FEATURES, np.where(LABELS == 1, 2, LABELS)).templates) == 2
    )


def test_row_of_zeros_and_a_class_that_is_never_likely_give_numbers() -> None:
    weight = WEIGHT.copy()
    weight[4] = 0
    matching = fit_matching(weight, np.where(np.arange(9) == 2, -1e4, BIAS), FEATURES, LABELS)
    assert np.isfinite(matching(FEATURES)).all()
