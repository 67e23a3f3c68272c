import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.metrics.classification import cross_entropy
from classifier.metrics.temperature import HIGHEST, LOWEST, fit_temperature
from classifier.processing.softmax import probabilities


def drawn(temperature: float, images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn with the probabilities that they give at this temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (images, 5)).astype(np.float32)
    chances = probabilities(logits, temperature).cumsum(axis=1)
    return logits, (generator.random((images, 1)) > chances[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_that_the_labels_were_drawn_with_is_found(temperature: float):
    assert fit_temperature(*drawn(temperature, 20_000)) == pytest.approx(temperature, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.5, 2.0))
def test_logits_times_a_factor_need_a_temperature_times_the_factor(factor: float):
    logits, labels = drawn(1.5, 5000)
    expected = fit_temperature(logits, labels) * factor
    assert fit_temperature(logits * factor, labels) == pytest.approx(expected, rel=0.01)


def test_cross_entropy_falls():
    logits, labels = drawn(3.0, 300)
    after = cross_entropy(probabilities(logits, fit_temperature(logits, labels)), labels)
    assert after < cross_entropy(probabilities(logits, 1.0), labels) - 0.1


@pytest.mark.parametrize("images", [1, 3, 100, 1000])
def test_a_split_without_a_mistake_does_not_make_the_model_certain(images: int):
    logits = np.tile(np.array([6, 0, 0], np.float32), (images, 1))
    assert 0.3 < fit_temperature(logits, np.zeros(images, int)) < 1


def test_a_single_mistake_does_not_make_the_model_doubt_everything():
    logits = np.tile(np.array([6, 0, 0], np.float32), (3, 1))
    assert 1 < fit_temperature(logits, np.array([0, 0, 1])) < 4


def test_a_hundred_images_outweigh_the_prior_and_five_do_not():
    def typical(images: int) -> float:
        return float(np.median([fit_temperature(*drawn(4.0, images, seed)) for seed in range(30)]))

    assert typical(5) < 2.2
    assert typical(100) > 3.1


def test_without_images_the_temperature_stays_1():
    assert fit_temperature(np.zeros((0, 3), np.float32), np.zeros(0, int)) == 1.0


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
@pytest.mark.parametrize("right", [True, False])
def test_extreme_logits_stay_within_the_bounds(scale: float, right: bool):
    logits = np.eye(4, dtype=np.float32)[np.arange(400) % 4] * scale
    found = fit_temperature(logits, (np.arange(400) + (not right)) % 4)
    assert LOWEST <= found <= HIGHEST


def test_the_order_of_images_does_not_matter_and_the_number_is_short():
    logits, labels = drawn(2.0, 400)
    found = fit_temperature(logits, labels)
    assert fit_temperature(logits[::-1], labels[::-1]) == found == round(found, 4)


def test_of_one_image_the_prior_decides():
    # The slope of log(1 + exp(-3 / T)) + (log(T) / 0.5)**2 / 2 by log(T) is 0.
    temperature = fit_temperature(np.array([[3.0, 0.0]]), np.array([0]))
    odds = np.exp(-3 / temperature)
    slope = 3 / temperature * odds / (1 + odds) + 4 * np.log(temperature)
    assert slope == pytest.approx(0, abs=1e-3)
