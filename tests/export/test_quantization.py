import copy
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from builders.tiny import tiny_model

from classifier.export import quantization
from classifier.export.onnx_export import to_onnx
from classifier.export.quantization import (
    Calibration,
    calibrate,
    layers,
    nodes_beside,
    prepare,
    quantize,
    scan_layers,
)
from classifier.inference.onnx_runtime import Predictor, load_onnx
from classifier.inference.openvino_runtime import load_openvino
from classifier.metrics.kl_matching import fit_matching
from classifier.metrics.outside import fit_outside
from classifier.models.outside import with_scores


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def given() -> bytes:
    return to_onnx(tiny_model(), 8)


@pytest.fixture(scope="module")
def model(given: bytes) -> onnx.ModelProto:
    return prepare(given)


def kinds(content: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(content).graph.node)


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy"])
def test_file_in_eight_bits_agrees_with_the_one_in_float_and_is_smaller(
    given: bytes, model: onnx.ModelProto, calibration: Calibration
) -> None:
    content = quantize(model, calibrate(model, noise(20), calibration, 1))
    expected, logits = (load_onnx(one, 1)(noise(9, seed=1)).logits for one in (given, content))
    assert len(content) < len(given) / 2
    assert (logits.shape, logits.dtype) == (expected.shape, np.float32)
    assert 0 < np.abs(logits - expected).max() < 0.5 * np.ptp(expected)


def test_calibrations_find_different_ranges(model: onnx.ModelProto) -> None:
    images = noise(20)
    found = [calibrate(model, images, name, 1) for name in ("minmax", "percentile", "entropy")]
    tensor = next(iter(found[0]))
    widths = [np.ptp(ranges[tensor].range_value) for ranges in found]
    assert widths[0] >= widths[1]
    assert len({quantize(model, ranges) for ranges in found}) == 3


def test_range_is_that_of_all_batches(model: onnx.ModelProto) -> None:
    images = np.zeros((20, 8, 8, 3), np.uint8)
    dark = calibrate(model, images, "minmax", 1)
    images[17] = 255
    mixed = calibrate(model, images, "minmax", 1)
    assert any(np.ptp(mixed[name].range_value) > np.ptp(dark[name].range_value) for name in dark)


def test_weights_have_a_scale_for_each_channel(model: onnx.ModelProto) -> None:
    proto = onnx.load_from_string(quantize(model, calibrate(model, noise(4), "minmax", 1)))
    scales = [one for one in proto.graph.initializer if one.name.endswith("weight_scale")]
    assert scales
    assert all(len(onnx.numpy_helper.to_array(one).ravel()) > 1 for one in scales)


def test_same_images_give_the_same_bytes(model: onnx.ModelProto) -> None:
    before = copy.deepcopy(model)
    first, second = (quantize(model, calibrate(model, noise(9), "minmax", 1)) for _ in range(2))
    assert first == second
    assert model == before


def test_file_says_nothing_of_its_origin(model: onnx.ModelProto) -> None:
    proto = onnx.load_from_string(quantize(model, calibrate(model, noise(4), "minmax", 1)))
    for part in [proto, proto.graph, *proto.graph.node, *proto.graph.initializer]:
        assert not part.metadata_props
        assert not part.doc_string


def test_excluded_layer_stays_in_float(model: onnx.ModelProto) -> None:
    ranges = calibrate(model, noise(4), "minmax", 1)
    every, last = layers(model), layers(model)[-1]
    whole, without = quantize(model, ranges), quantize(model, ranges, exclude=[last])
    assert kinds(without)["DequantizeLinear"] < kinds(whole)["DequantizeLinear"]
    expected = load_onnx(model.SerializeToString(), 1)(noise(3)).logits
    none = load_onnx(quantize(model, ranges, exclude=every), 1)(noise(3)).logits
    all_of_it = load_onnx(whole, 1)(noise(3)).logits
    assert np.abs(none - expected).max() <= np.abs(all_of_it - expected).max()


def test_scan_names_every_layer_with_the_most_sensitive_first(model: onnx.ModelProto) -> None:
    ranges = calibrate(model, noise(8), "minmax", 1)
    found = scan_layers(model, ranges, noise(8), 1)
    assert sorted(entry.layer for entry in found) == sorted(layers(model))
    errors = [entry.error for entry in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0


def test_file_in_eight_bits_names_no_place_and_is_the_same_when_written_again(
    given: bytes, model: onnx.ModelProto
) -> None:
    content = quantize(model, calibrate(model, noise(20), "entropy", 1))
    again = quantize(prepare(given), calibrate(prepare(given), noise(20), "entropy", 1))
    assert again == content
    places = (
        str(Path(__file__).parents[2]),
        sys.prefix,
        str(Path.home()),
        "site-packages",
        "File ",
    )
    assert not [place for place in places if place.encode() in content]


@pytest.fixture(scope="module")
def scored_file() -> bytes:
    """A model with an outside score that holds a last layer of 500 classes, in whole numbers."""
    features = np.random.default_rng(0).random((60, 128), np.float32)
    head = np.random.default_rng(1).normal(size=(500, 128)), np.zeros(500)
    matching = fit_matching(*head, features, np.arange(60) % 3)
    score = fit_outside(features, features[:20], np.ones((20, 3)), matching)
    return to_onnx(with_scores(tiny_model(), score), 8)


@pytest.mark.parametrize("load", [load_onnx, load_openvino])
def test_last_layer_of_the_outside_score_takes_a_byte_a_weight_and_gives_the_same(
    load: Callable[[bytes, int], Predictor], scored_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_eight_bits() -> bytes:
        model = prepare(scored_file)
        return quantize(model, calibrate(model, noise(20), "minmax", 1))

    content = in_eight_bits()
    monkeypatch.setattr(quantization, "_store_whole_numbers_in_bytes", lambda model: None)
    in_float = in_eight_bits()
    assert len(in_float) - len(content) > 2.9 * 500 * 128
    given, expected = (load(one, 1)(noise(9, seed=1)) for one in (content, in_float))
    assert given.outside is not None
    assert expected.outside is not None
    np.testing.assert_allclose(given.outside, expected.outside, atol=1e-3)
    assert np.ptp(expected.outside) > 0.1
    np.testing.assert_array_equal(given.logits, expected.logits)


def test_outside_score_stays_in_float_and_is_no_layer_to_choose(
    given: bytes, scored_file: bytes
) -> None:
    scored = prepare(scored_file)
    apart = nodes_beside(scored)
    assert apart
    assert nodes_beside(prepare(given)) == set()
    assert len(layers(scored)) == len(layers(prepare(given)))
    quantized = onnx.load_from_string(quantize(scored, calibrate(scored, noise(20), "minmax", 1)))
    types = {tuple(one.dims): one.data_type for one in quantized.graph.initializer}
    directions, last_layer = (128, 12), (128, 500)
    assert types[directions] == onnx.TensorProto.FLOAT
    assert types[last_layer] == onnx.TensorProto.INT8  # which takes least space
