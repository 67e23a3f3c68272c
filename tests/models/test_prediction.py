import numpy as np
import pytest
import torch
from builders.backbones import SMALL, backbone_spec
from builders.tiny import tiny_model, tiny_params, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from classifier.models.network import Classifier
from classifier.models.prediction import predict_logits
from classifier.processing.softmax import probabilities
from classifier.processing.views import named_view

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 10, 10, 3), dtype=np.uint8)
VIEWS = [named_view(name, 10, 8) for name in ("identity", "flip", "top_left")]
LOGITS = arrays(np.float32, (4, 3), elements=st.floats(-1000, 1000, width=32))


@pytest.fixture(params=["trained", "frozen"])
def model(request: pytest.FixtureRequest) -> Classifier:
    """A network, trained as a whole, or with a frozen backbone."""
    head = {"hidden": 5, "dropout": 0.5}
    if request.param == "trained":
        return tiny_model(tiny_params(model={"head": head}).model)
    params = tiny_params(model={"head": head, "freeze": "backbone"})
    return tiny_model(params.model, backbone=backbone_spec(SMALL, pretrained=True))


def test_logits_are_the_models_for_each_view_and_row_in_their_order(model: Classifier) -> None:
    rows = np.array([17, 3, 8])
    logits = predict_logits(model, IMAGES, rows, VIEWS, batch_size=2)
    assert (logits.shape, logits.dtype) == ((3, 3, 3), np.float32)
    for of_view, view in zip(logits, VIEWS, strict=True):
        with torch.no_grad():
            expected = model(torch.from_numpy(view(IMAGES[rows], rows)))
        np.testing.assert_allclose(of_view, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_logits_do_not_depend_on_the_batch_size(model: Classifier) -> None:
    rows = np.arange(20)
    one, all_at_once = (
        predict_logits(model, IMAGES, rows, VIEWS, batch_size=size) for size in (1, 50)
    )
    np.testing.assert_allclose(one, all_at_once, rtol=1e-4, atol=1e-5)


def test_logits_of_a_row_do_not_depend_on_the_rows_beside_it(model: Classifier) -> None:
    rows = np.arange(20)
    logits = predict_logits(model, IMAGES, rows, VIEWS, batch_size=7)
    backwards = predict_logits(model, IMAGES, rows[::-1].copy(), VIEWS[::-1], batch_size=7)
    np.testing.assert_allclose(backwards[::-1, ::-1], logits, rtol=1e-4, atol=1e-5)


def test_prediction_is_made_in_evaluation_mode_and_leaves_the_model_alone(
    model: Classifier,
) -> None:
    rows, before = np.arange(20), weights_of(model)
    expected = predict_logits(model, IMAGES, rows, VIEWS, batch_size=7)
    logits = predict_logits(model.train(), IMAGES, rows, VIEWS, batch_size=7)
    np.testing.assert_array_equal(logits, expected)
    assert weights_of(model) == before


@settings(max_examples=40)
@given(logits=LOGITS, temperature=st.floats(0.05, 20))
def test_probabilities_are_the_softmax_of_scaled_logits(
    logits: np.ndarray, temperature: float
) -> None:
    result = probabilities(logits, temperature)
    expected = torch.from_numpy(logits).double().div(temperature).softmax(-1)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result.sum(axis=-1), 1)
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-9, atol=1e-300)


def test_temperature_evens_out_and_keeps_the_order() -> None:
    logits = np.array([[1.0, 3.0, 2.0]], np.float32)
    cold, plain, hot = (probabilities(logits, temperature)[0] for temperature in (0.5, 1, 10))
    assert cold.max() > plain.max() > hot.max()
    assert all(np.argsort(result).tolist() == [0, 2, 1] for result in (cold, plain, hot))


def test_given_logits_are_left_as_they_are() -> None:
    logits = np.array([[1.0, 3.0]])
    probabilities(logits, 1.0)
    assert logits.tolist() == [[1.0, 3.0]]
