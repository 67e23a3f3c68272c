import io
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from tiny import tiny_bundle

from classifier.bundle import load_bundle
from classifier.export import FORMATS, ExportParams, Format, compare, to_onnx
from classifier.images import model_input
from classifier.models import Classifier

REPOSITORY = Path(__file__).parents[1]
CROP = 8


class Exported(NamedTuple):
    models: Path
    network: Classifier
    contents: dict[str, bytes]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A bundle in its folder, its network, and the content of each format's file."""
    folder = tmp_path_factory.mktemp("models")
    network = tiny_bundle(folder, image_size=10, crop=CROP, head={"hidden": 5, "dropout": 0.5})
    return Exported(folder, network, {form.name: form.write(network, CROP) for form in FORMATS})


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, CROP, CROP, 3), dtype=np.uint8)


def logits_of(network: Classifier, pictures: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(pictures)).numpy()


formats = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)


@formats
@pytest.mark.parametrize("count", [1, 2, 7])
def test_file_takes_bytes_of_any_number_of_pictures_and_agrees_with_the_model(
    exported: Exported, form: Format, count: int
) -> None:
    pictures = noise(count)
    logits = form.load(exported.contents[form.name])(pictures)
    assert (logits.shape, logits.dtype) == ((count, 3), np.float32)
    np.testing.assert_allclose(logits, logits_of(exported.network, pictures), atol=1e-4)


@formats
def test_picture_file_gives_the_same_logits_in_library_bundle_and_exported_file(
    tmp_path: Path, exported: Exported, form: Format
) -> None:
    y, x = np.mgrid[0:30, 0:40]
    pixels = np.stack([x * 6, y * 8, (x + y) * 3], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.jpg")
    bundle = load_bundle(exported.models)
    pictures = model_input(tmp_path / "picture.jpg", bundle.spec.preprocessing, CROP)[None]
    expected = logits_of(exported.network, pictures)
    assert pictures.shape == (1, CROP, CROP, 3)
    np.testing.assert_array_equal(logits_of(bundle.model, pictures), expected)
    logits = form.load(exported.contents[form.name])(pictures)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@formats
def test_file_holds_no_path_of_this_machine(exported: Exported, form: Format) -> None:
    content = exported.contents[form.name]
    places = (str(REPOSITORY), sys.prefix, str(Path.home()), "site-packages", 'models.py"')
    assert not [place for place in places if place.encode() in content]


def test_onnx_file_holds_no_stack_trace_and_no_source_line(exported: Exported) -> None:
    proto = onnx.load_from_string(exported.contents["onnx"])
    for initializer in proto.graph.initializer:
        initializer.ClearField("raw_data")
    text = str(proto)
    assert "pictures" in text
    assert not [word for word in (".py", "stack_trace", "forward", "File ") if word in text]


def test_onnx_file_is_the_same_when_written_again(exported: Exported) -> None:
    assert to_onnx(exported.network, CROP) == exported.contents["onnx"]


def test_onnx_input_is_named_and_typed(exported: Exported) -> None:
    proto = onnx.load_from_string(exported.contents["onnx"])
    (pictures,), (logits,) = proto.graph.input, proto.graph.output
    assert (pictures.name, logits.name) == ("pictures", "logits")
    kind = pictures.type.tensor_type
    assert kind.elem_type == onnx.TensorProto.UINT8
    assert [place.dim_value for place in kind.shape.dim[1:]] == [CROP, CROP, 3]
    assert kind.shape.dim[0].dim_param


def test_torchscript_holds_no_record_that_differs_from_run_to_run(exported: Exported) -> None:
    names = zipfile.ZipFile(io.BytesIO(exported.contents["torchscript"])).namelist()
    assert not [name for name in names if name.endswith(".debug_pkl")]


def test_agreement_counts_labels_predictions_and_the_largest_difference() -> None:
    expected = np.array([[2, 1], [2, 1], [2, 1], [1, 2]], np.float32)
    logits = np.array([[2, 1], [2, 1.5], [1, 2], [1, 2]], np.float32)
    agreement = compare(logits, expected, np.array([0, 1, 1, 1]))
    assert agreement == (0.75, 0.75, 1.0)


def test_agreement_with_what_is_no_number_is_no_number() -> None:
    logits = np.array([[np.nan, 1]], np.float32)
    agreement = compare(logits, np.zeros((1, 2), np.float32), np.array([0]))
    assert np.isnan(agreement.max_logit_difference)


@pytest.mark.parametrize("difference", [0.0, -1.0, float("inf"), float("nan")])
def test_tolerance_that_is_none_is_refused(difference: float) -> None:
    with pytest.raises(ValidationError, match="max_logit_difference"):
        ExportParams(batch_size=1, max_logit_difference=difference)
