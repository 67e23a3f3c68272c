"""A model without training, to predict and serve with: it tells which colour an image has.

It is written down node by node, so that tests which use it wait for no exporter and no PyTorch.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from builders.images import encode
from classifier.core.files import json_bytes, write_bytes, write_json
from classifier.inference.golden import (
    EXPECTED,
    IMAGES,
    TTA_IMAGES,
    GoldenInputs,
    golden_content,
)
from classifier.inference.manifest import MANIFEST, file_entry, manifest_content
from classifier.inference.onnx_runtime import (
    INPUT,
    INT8_FILE,
    LOGITS,
    ONNX_FILE,
    SIMILARITY,
    load_onnx,
)
from classifier.processing.decision import TTA_POLICY, Decision
from classifier.processing.similar_images import SIMILAR, SIMILAR_SHEET, SimilarImages
from classifier.processing.softmax import DECISION, Merge
from classifier.processing.spec import DESCRIPTION, BackboneSpec, BundleSpec
from classifier.processing.views import named_view

CLASSES = ["red", "green", "blue"]
IMAGE_SIZE, CROP = 16, 12
SPEC = BundleSpec(
    backbone=BackboneSpec(name="colours", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    classes=CLASSES,
    stored_size=IMAGE_SIZE,
    resize="crop",
    white_level=65535,
    max_pixels=89_000_000,
    input_size=CROP,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    temperature=2.0,
    params={},
)


# Training images that may travel with it: their paths, and how red, green and blue they are.
ALIKE = {
    "red/a.png": (0.8, 0.0, 0.0),
    "green/b.png": (0.0, 1.0, 0.0),
    "blue/c.png": (0.0, 0.0, 0.9),
    "red/d.png": (1.0, 0.1, 0.0),
    "blue/e.png": (0.3, 0.0, 0.7),
}
_TILE = 64


def colours_onnx(
    input_size: int = CROP, factor: float = 0.1, *, with_similar: bool = False
) -> bytes:
    """Logits are the mean of each channel times `factor`; similarities are to those of ALIKE."""
    axes = numpy_helper.from_array(np.array([1, 2]), "axes")
    scale = numpy_helper.from_array(np.array([factor], np.float32), "factor")
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "factor"], [LOGITS]),
    ]
    shown = helper.make_tensor_value_info(
        INPUT, TensorProto.UINT8, ["batch", input_size, input_size, 3]
    )
    given = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", 3])
    outputs, constants = [given], [axes, scale]
    if with_similar:
        alike = np.array([*ALIKE.values()], np.float32).T / 255
        constants.append(numpy_helper.from_array(np.ascontiguousarray(alike), "alike"))
        nodes.append(helper.make_node("MatMul", ["means", "alike"], [SIMILARITY]))
        shape = ["batch", len(ALIKE)]
        outputs.append(helper.make_tensor_value_info(SIMILARITY, TensorProto.FLOAT, shape))
    graph = helper.make_graph(nodes, "colours", [shown], outputs, constants)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def write_models(
    folder: Path,
    *,
    golden_error: float = 0.0,
    golden_tta_error: float = 0.0,
    reject_below: float | None = None,
    views: Sequence[str] = ("identity", "flip"),
    merge: Merge = "probabilities",
    factor: float = 0.1,
    with_similar: bool = False,
) -> Path:
    """Write what the pipeline leaves in `models` of such a model, but for the weights.

    golden_error: added to the expected probability of the first class; golden_tta_error likewise,
    to that with test-time augmentation. factor: see `colours_onnx`. with_similar: whether training
    images travel with it.
    """
    contents = {
        ONNX_FILE: colours_onnx(factor=factor, with_similar=with_similar),
        INT8_FILE: colours_onnx(factor=0.101, with_similar=with_similar),
    }
    images = np.stack([np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 20, np.uint8)] * 3)
    images[np.arange(3), :, :, np.arange(3)] = 200
    shown = [named_view(name, IMAGE_SIZE, CROP)(images, np.arange(3)) for name in views]
    decision = Decision(reject_below=reject_below)
    inputs = GoldenInputs(
        images[:, :CROP, :CROP], np.stack(shown), CLASSES, SPEC.temperature, merge, decision
    )
    answers = {file: inputs.answers(load_onnx(content, 1)) for file, content in contents.items()}
    for given, with_tta in answers.values():
        given.probabilities[:, 0] += golden_error
        with_tta.probabilities[:, 0] += golden_tta_error
    others = {
        DESCRIPTION: json_bytes(SPEC.model_dump(mode="json")),
        DECISION: json_bytes(decision.model_dump()),
        TTA_POLICY: json_bytes({"views": list(views), "merge": merge}),
        IMAGES: npy(inputs.images),
        TTA_IMAGES: npy(inputs.tta_images),
        EXPECTED: json_bytes(golden_content(inputs, answers)),
    }
    if with_similar:
        others |= {SIMILAR: json_bytes(_similar().model_dump()), SIMILAR_SHEET: _sheet()}
    entries = {
        file: file_entry(content, "onnx", tolerance=0.001) for file, content in contents.items()
    } | {file: file_entry(content, "other") for file, content in others.items()}
    for name, content in (contents | others).items():
        write_bytes(folder / "export" / name, content)
    write_json(folder / "export" / MANIFEST, manifest_content(entries))
    for name in (DESCRIPTION, DECISION, TTA_POLICY):
        write_bytes(folder / name, others[name])
    return folder


def _similar() -> SimilarImages:
    labels = [CLASSES.index(path.partition("/")[0]) for path in ALIKE]
    return SimilarImages(side=_TILE, columns=3, paths=[*ALIKE], labels=labels)


def _sheet() -> bytes:
    sheet = Image.new("RGB", (3 * _TILE, 2 * _TILE))
    for place, shares in enumerate(ALIKE.values()):
        colour = tuple(round(255 * share) for share in shares)
        sheet.paste(colour, (place % 3 * _TILE, place // 3 * _TILE, *_corner(place)))
    return encode(sheet, "JPEG")


def _corner(place: int) -> tuple[int, int]:
    return (place % 3 + 1) * _TILE, (place // 3 + 1) * _TILE


def rewrite(export: Path, file: str, content: bytes) -> None:
    """Replace an exported file, and its entry in the manifest, as an attacker would."""
    write_bytes(export / file, content)
    manifest = json.loads((export / MANIFEST).read_bytes())
    changed = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    manifest["files"][file] = manifest["files"].get(file, {"format": "other"}) | changed
    write_json(export / MANIFEST, manifest)


def npy(array: np.ndarray) -> bytes:
    """The array as a file of NumPy."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array))
    return buffer.getvalue()


def image_of(colour: str, side: int = 20, kind: str = "PNG") -> bytes:
    """An image file of one of CLASSES."""
    return encode(Image.new("RGB", (side, side), colour.replace("green", "lime")), kind)


def write_images(folder: Path) -> Path:
    """A red, a green and a blue image, the last one in a folder of its own."""
    write_bytes(folder / "a-red.png", image_of("red"))
    write_bytes(folder / "b-green.jpg", image_of("green", kind="JPEG"))
    write_bytes(folder / "more/c-blue.webp", image_of("blue", kind="WEBP"))
    return folder
