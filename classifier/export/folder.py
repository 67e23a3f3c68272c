"""Write the folder `models/export`: exported files and everything needed to predict with them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from classifier.core.files import json_bytes, write_bytes
from classifier.export.export_report import Exported
from classifier.export.formats import INT8_NAME, ONNX
from classifier.export.original_files import npy_bytes, write_originals
from classifier.inference.golden import (
    EXPECTED,
    IMAGES,
    TTA_IMAGES,
    GoldenInputs,
    golden_content,
)
from classifier.inference.manifest import MANIFEST, Entry, file_entry, manifest_content
from classifier.processing.decision import TTA_POLICY, Decision, TtaPolicy
from classifier.processing.images import center_crop
from classifier.processing.made_for import read_made_for
from classifier.processing.softmax import DECISION
from classifier.processing.spec import DESCRIPTION, BundleSpec
from classifier.processing.views import named_view

# Of a probability. Float kernels differ in rounding; those of eight bits round each layer.
_TOLERANCE, _INT8_TOLERANCE = 0.001, 0.1
# Of the files beside the network, by their ending.
_FORMATS = {".json": "JSON", ".npy": "NumPy array", ".png": "PNG image", ".jpg": "JPEG image"}


class Travelling(NamedTuple):
    """What travels with the network.

    Attributes:
        files: by name.
        decision: content of one of them.
        policy: content of another.
        similar: number of training images among it.
    """

    files: dict[str, bytes]
    decision: Decision
    policy: TtaPolicy
    similar: int = 0


def read_travelling(models: Path, model: str) -> Travelling:
    """Read the model's description, decision and TTA policy from `models`.

    model: digest of the model that is exported (`Bundle.digest`).

    Raises:
        UserError: where one is missing, damaged, or was made for another model.
    """
    rules, decision = read_made_for(model, models / DECISION, Decision, "evaluate")
    views, policy = read_made_for(model, models / TTA_POLICY, TtaPolicy, "tta_evaluate")
    description = (models / DESCRIPTION).read_bytes()
    files = {DESCRIPTION: description, DECISION: rules, TTA_POLICY: views}
    return Travelling(files, decision, policy)


def write_export_folder(
    folder: Path,
    spec: BundleSpec,
    exported: list[Exported],
    golden: np.ndarray,
    travelling: Travelling,
) -> None:
    """Write the exported files, what travels with them, golden images and the manifest.

    Files of an earlier export that are no longer part of it are deleted.

    Args:
        folder: `models/export`.
        spec: of the trained model.
        exported: the files, and how to run them.
        golden: golden images, uint8 `(n, S, S, 3)`.
        travelling: from `read_travelling`.
    """
    inputs = _golden_inputs(golden, spec, travelling)
    answers = {one.file: inputs.answers(one.predict) for one in exported}
    others = travelling.files | {
        IMAGES: npy_bytes(inputs.images),
        TTA_IMAGES: npy_bytes(inputs.tta_images),
        EXPECTED: json_bytes(golden_content(inputs, answers)),
    }
    (onnx,) = (one for one in exported if one.name == ONNX.name)
    others |= write_originals(golden, spec, inputs, onnx.predict)
    entries = {one.file: _entry(one, spec, travelling.similar) for one in exported}
    entries |= {
        file: file_entry(content, _FORMATS[Path(file).suffix]) for file, content in others.items()
    }
    files = {one.file: one.content for one in exported} | others
    files[MANIFEST] = json_bytes(manifest_content(entries))
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        write_bytes(folder / name, content)


def _golden_inputs(stored: np.ndarray, spec: BundleSpec, travelling: Travelling) -> GoldenInputs:
    rows = np.arange(len(stored))
    policy = travelling.policy
    views = [named_view(name, spec.stored_size, spec.input_size) for name in policy.views]
    return GoldenInputs(
        center_crop(stored, spec.input_size),
        np.stack([view(stored, rows) for view in views]),
        classes=spec.classes,
        temperature=spec.temperature,
        merge=policy.merge,
        decision=travelling.decision,
    )


def _entry(one: Exported, spec: BundleSpec, similar: int) -> Entry:
    scored = one.agreement.max_outside_difference is not None
    batch = "1" if one.name == "executorch" else "N"
    scores = f"; float32 ({batch}), outside scores" if scored else ""
    alike = f"; float32 ({batch}, {similar}), similarities to training images" if similar else ""
    return file_entry(
        one.content,
        one.name,
        takes=f"uint8 ({batch}, {spec.input_size}, {spec.input_size}, 3), RGB",
        gives=f"float32 ({batch}, {len(spec.classes)}), logits{scores}{alike}",
        tolerance=_INT8_TOLERANCE if one.name == INT8_NAME else _TOLERANCE,
    )
