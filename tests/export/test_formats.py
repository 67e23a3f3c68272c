import io
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from builders.tiny import tiny_bundle, tiny_model
from PIL import Image
from pydantic import ValidationError
from timm.layers.create_conv2d import create_conv2d
from torch import nn

from classifier.export.formats import (
    EXECUTORCH,
    ONNX,
    TORCH_EXPORT,
    TORCHSCRIPT,
    Format,
    chosen_formats,
    measure_agreement,
)
from classifier.export.params import ExportParams
from classifier.inference.onnx_runtime import Outputs
from classifier.metrics.kl_matching import fit_matching
from classifier.metrics.outside import fit_outside
from classifier.models.bundle import load_bundle
from classifier.models.network import Classifier
from classifier.models.outside import with_scores
from classifier.processing.images import model_input

FORMATS = (ONNX, TORCH_EXPORT, TORCHSCRIPT)
REPOSITORY = Path(__file__).parents[2]
CROP = 8


class Exported(NamedTuple):
    models: Path
    network: Classifier
    contents: dict[str, bytes]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A bundle in its folder, its network, and the content of each format's file."""
    folder = tmp_path_factory.mktemp("models")
    network = tiny_bundle(
        folder, stored_size=10, input_size=CROP, head={"hidden": 5, "dropout": 0.5}
    )
    return Exported(folder, network, {form.name: form.write(network, CROP) for form in FORMATS})


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, CROP, CROP, 3), dtype=np.uint8)


def export_params(**changes: Any) -> ExportParams:
    int8 = {"methods": [], "calibration_images": 1, "max_accuracy_drop": 0, "min_speedup": None}
    given = {"batch_size": 1, "max_logit_difference": 0.1, "formats": ["onnx"], "int8": int8}
    given["similar_images"] = 0
    return ExportParams.model_validate(given | changes)


def logits_of(network: Classifier, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()


each_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)


@each_format
@pytest.mark.parametrize("count", [1, 2, 7])
def test_file_takes_bytes_of_any_number_of_images_and_agrees_with_the_model(
    exported: Exported, form: Format, count: int
) -> None:
    images = noise(count)
    logits = form.load(exported.contents[form.name])(images).logits
    assert (logits.shape, logits.dtype) == ((count, 3), np.float32)
    np.testing.assert_allclose(logits, logits_of(exported.network, images), atol=1e-4)


@each_format
def test_image_file_gives_the_same_logits_in_library_bundle_and_exported_file(
    tmp_path: Path, exported: Exported, form: Format
) -> None:
    y, x = np.mgrid[0:30, 0:40]
    pixels = np.stack([x * 6, y * 8, (x + y) * 3], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.jpg")
    bundle = load_bundle(exported.models)
    images = model_input(tmp_path / "image.jpg", bundle.spec.preprocessing, CROP)[None]
    expected = logits_of(exported.network, images)
    assert images.shape == (1, CROP, CROP, 3)
    np.testing.assert_array_equal(logits_of(bundle.model, images), expected)
    logits = form.load(exported.contents[form.name])(images).logits
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("form", [*FORMATS, EXECUTORCH], ids=lambda form: form.name)
@pytest.mark.parametrize("scored", [True, False])
def test_every_format_gives_scores_and_similarities_by_name(form: Format, scored: bool) -> None:
    if form is EXECUTORCH:
        pytest.importorskip("executorch", reason="the extra mobile is not installed")
    network, images = tiny_model(), noise(4)
    with torch.no_grad():
        features = network.features(torch.from_numpy(noise(60)))
        logits = network.head(features).numpy()
    features = features.numpy()
    head = np.random.default_rng(1).normal(size=(11, features.shape[1])), np.zeros(11)
    matching = fit_matching(*head, features[:40], np.arange(40) % 3)
    score = fit_outside(features[:40], features[40:], logits[40:], matching) if scored else None
    directions = features[:7] / np.linalg.norm(features[:7], axis=1, keepdims=True)
    both = with_scores(network, score, directions)
    given = form.load(form.write(both, CROP))(images)
    with torch.no_grad():
        expected = [one.numpy() for one in both(torch.from_numpy(images))]
    named = [one for one in given if one is not None]
    assert (given.outside is not None) == scored
    assert given.similarity is not None
    assert given.similarity.shape == (4, 7)
    for one, other in zip(named, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@each_format
def test_file_holds_no_path_of_this_machine(exported: Exported, form: Format) -> None:
    content = exported.contents[form.name]
    places = (str(REPOSITORY), sys.prefix, str(Path.home()), "site-packages", 'models.py"')
    assert not [place for place in places if place.encode() in content]


def test_onnx_file_holds_no_stack_trace_and_no_source_line(exported: Exported) -> None:
    proto = onnx.load_from_string(exported.contents["onnx"])
    for initializer in proto.graph.initializer:
        initializer.ClearField("raw_data")
    text = str(proto)
    assert "images" in text
    assert not [word for word in (".py", "stack_trace", "forward", "File ") if word in text]


# TorchScript counts the classes that a process has traced; of two processes its files are the same
# (tests/pipeline/test_pipeline.py).
@pytest.mark.parametrize("form", [ONNX, TORCH_EXPORT], ids=lambda form: form.name)
def test_file_is_the_same_when_written_again(exported: Exported, form: Format) -> None:
    assert form.write(exported.network, CROP) == exported.contents[form.name]


def test_onnx_file_holds_no_metadata_and_lies_in_no_second_file(exported: Exported) -> None:
    proto = onnx.load_from_string(exported.contents["onnx"])
    for part in [proto, proto.graph, *proto.graph.node, *proto.graph.value_info]:
        assert not part.metadata_props
        assert not part.doc_string
    external = onnx.TensorProto.EXTERNAL
    assert not [one.name for one in proto.graph.initializer if one.data_location == external]


def test_onnx_graph_computes_no_positions_in_memory(exported: Exported) -> None:
    proto = onnx.load_from_string(exported.contents["onnx"])
    kinds = {node.op_type for node in proto.graph.node}
    assert "Conv" in kinds
    assert not kinds & {"Gather", "Range", "Shape"}


def test_onnx_input_is_named_and_typed(exported: Exported) -> None:
    proto = onnx.load_from_string(exported.contents["onnx"])
    (images,), (logits,) = proto.graph.input, proto.graph.output
    assert (images.name, logits.name) == ("images", "logits")
    kind = images.type.tensor_type
    assert kind.elem_type == onnx.TensorProto.UINT8
    assert [place.dim_value for place in kind.shape.dim[1:]] == [CROP, CROP, 3]
    assert kind.shape.dim[0].dim_param


@pytest.mark.parametrize("name", ["torchscript", "torch_export"])
def test_archive_holds_no_record_with_source_lines(exported: Exported, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(exported.contents[name])) as archive:
        assert not [record for record in archive.namelist() if record.endswith(".debug_pkl")]
        texts = [archive.read(one) for one in archive.namelist() if one.endswith(".json")]
    assert not [text for text in texts if b"stack_trace" in text or b".py" in text]


@each_format
def test_sizes_that_a_network_divides_are_those_of_the_model(form: Format) -> None:
    """Padding `same` of timm is computed from them; PyTorch divided otherwise in older files."""
    network = tiny_model()
    layers = create_conv2d(3, 4, 3, stride=3, padding="same"), nn.AdaptiveAvgPool2d(4)
    network.backbone = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 128))
    expected = logits_of(network, noise(3))
    given = form.load(form.write(network, CROP))(noise(3)).logits
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_pt2_stores_weights_without_pickle(exported: Exported) -> None:
    with zipfile.ZipFile(io.BytesIO(exported.contents["torch_export"])) as archive:
        (config,) = (one for one in archive.namelist() if one.endswith("weights_config.json"))
        assert b'"use_pickle": false' in archive.read(config)
        assert b'"use_pickle": true' not in archive.read(config)


def test_listed_formats_are_written_and_no_others_onnx_first() -> None:
    params = export_params(formats=["executorch", "onnx"])
    assert [form.name for form in chosen_formats(params.formats)] == ["onnx", "executorch"]


@pytest.mark.parametrize(
    ("formats", "sentence"),
    [
        (["torch_export"], r"export\.formats must name onnx: predict, serve"),
        (["onnx", "onnx"], r"export\.formats names a format twice"),
        (["onnx", "pt2"], r"'torch_export', 'torchscript' or 'executorch'"),
    ],
)
def test_formats_that_cannot_be_are_refused(formats: list[str], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        export_params(formats=formats)


def test_agreement_counts_labels_predictions_and_the_largest_difference() -> None:
    expected = np.array([[2, 1], [2, 1], [2, 1], [1, 2]], np.float32)
    logits = np.array([[2, 1], [2, 1.5], [1, 2], [1, 2]], np.float32)
    given = measure_agreement(Outputs(logits), Outputs(expected), np.array([0, 1, 1, 1]))
    assert given[:3] == (0.75, 0.75, 1.0)


def test_agreement_has_the_outside_scores_where_both_give_them() -> None:
    logits = np.zeros((3, 2), np.float32)
    given, expected = (
        Outputs(logits, np.array(of, np.float32)) for of in ([1.0, 2.5, 3.0], [1.0, 2.0, 3.0])
    )
    found = measure_agreement(given, expected, np.zeros(3, int), outside_above=2.0)
    assert (found.max_outside_difference, found.refused) == (0.5, pytest.approx(2 / 3))


def test_agreement_with_what_is_no_number_is_no_number() -> None:
    logits = np.array([[np.nan, 1]], np.float32)
    zeros = Outputs(np.zeros((1, 2), np.float32))
    agreement = measure_agreement(Outputs(logits), zeros, np.array([0]))
    assert np.isnan(agreement.max_logit_difference)


@pytest.mark.parametrize("difference", [0.0, -1.0, float("inf"), float("nan")])
def test_tolerance_that_is_none_is_refused(difference: float) -> None:
    with pytest.raises(ValidationError, match="max_logit_difference"):
        export_params(max_logit_difference=difference)
