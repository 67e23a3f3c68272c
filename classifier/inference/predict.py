"""Use a trained model in a program of one's own:

    from classifier.inference.predict import load_model

    model = load_model("models")
    answer = model.predict("photo.jpg")
    print(answer.label, answer.probability)

It runs the exported ONNX file, and then imports no PyTorch; `runtime="openvino"` runs that file
with OpenVINO, `runtime="torch"` the bundle.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from classifier.core.errors import UserError
from classifier.inference.manifest import read_exported, read_manifest
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE, Predictor, load_exported
from classifier.inference.openvino_runtime import load_openvino
from classifier.processing.images import MAX_PIXELS, read_image
from classifier.processing.softmax import UNKNOWN, Merge, merge_views
from classifier.processing.spec import DESCRIPTION, BundleSpec
from classifier.processing.views import View, named_view

Runtime = Literal["onnx", "openvino", "torch"]
EXPORT, CHOICE = "export", "tta.json"


@dataclass(frozen=True)
class Candidate:
    """A class that an image may be of, and how probable that is."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Answer:
    """What a model says about an image. probabilities: of every class, float64 `(classes,)`.

    reject_below: the probability that the best class must have, or the answer is `unknown`.
    """

    classes: Sequence[str]
    probabilities: np.ndarray
    reject_below: float = 0.0

    @property
    def best(self) -> Candidate:
        """The most probable class, whether or not it is probable enough."""
        return self.top(1)[0]

    @property
    def rejected(self) -> bool:
        """Whether no class is probable enough."""
        return self.best.probability < self.reject_below

    @property
    def label(self) -> str:
        """The name of the most probable class, or `unknown`."""
        return UNKNOWN if self.rejected else self.best.label

    @property
    def index(self) -> int | None:
        """The index of the most probable class, or None where the answer is `unknown`."""
        return None if self.rejected else self.best.index

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return self.best.probability

    def top(self, count: int) -> list[Candidate]:
        """The most probable classes, all where there are no more than `count`, the best first."""
        order = map(int, np.argsort(-self.probabilities, kind="stable")[:count])
        return [
            Candidate(self.classes[index], index, float(self.probabilities[index]))
            for index in order
        ]


@dataclass(frozen=True)
class Model:
    """A trained model that is ready to answer; threads may share it.

    predictor: images uint8 `(N, input_size, input_size, 3)` → logits float32 `(N, classes)`.
    views: what the model is shown of each image, merged as `merge` says.
    version: 12 digits that tell one trained model, in its format, from another.
    """

    spec: BundleSpec
    predictor: Predictor
    version: str
    views: Sequence[View]
    merge: Merge
    reject_below: float

    def predict(self, image: str | Path | bytes) -> Answer:
        """The answer for an image: its file's path, or the bytes of the file.

        Raises UserError where it is no image that can be read, OSError where there is no file.
        """
        content = Path(image) if isinstance(image, str) else image
        return self.answers(self.decode(content)[np.newaxis])[0]

    def decode(self, content: Path | bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """An image as training stored them: uint8 `(S, S, 3)`; raises as `predict` does."""
        return read_image(content, self.spec.preprocessing, max_pixels).pixels

    def answers(self, images: np.ndarray) -> list[Answer]:
        """The answers for decoded images, uint8 `(N, S, S, 3)`."""
        rows = np.arange(len(images))
        shown = (np.ascontiguousarray(view(images, rows)) for view in self.views)
        logits = np.stack([self.predictor(seen) for seen in shown])
        merged = merge_views(logits, self.spec.temperature, self.merge)
        return [Answer(self.spec.classes, row, self.reject_below) for row in merged]


def load_model(
    folder: str | Path = "models",
    *,
    runtime: Runtime = "onnx",
    int8: bool = False,
    tta: bool = False,
    reject_below: float = 0.0,
    threads: int = 0,
) -> Model:
    """The model that the pipeline left in `folder`.

    runtime: `onnx` runs `export/model.onnx`, or `export/model.int8.onnx` with `int8`; `openvino`
    runs the same files; `torch` runs the bundle, on the GPU where there is one. tta: show it the
    views that `tta.json` names.
    reject_below: see `Answer`. threads: of one call of the runtime; 0 leaves it to the runtime.

    Raises UserError where a file is missing or damaged, or where the export is of another model
    than the bundle beside it.
    """
    folder = Path(folder)
    if runtime == "torch":
        spec, predictor, version = _load_bundle(folder, threads)
    else:
        file = INT8_FILE if int8 else ONNX_FILE
        spec, predictor, version = _load_export(folder, file, runtime, threads)
    names, merge = _read_choice(folder / CHOICE) if tta else (["identity"], "probabilities")
    views = [named_view(name, spec.stored_size, spec.input_size) for name in names]
    return Model(spec, predictor, version, views, merge, reject_below)


def _load_export(
    folder: Path, file: str, runtime: Runtime, threads: int
) -> tuple[BundleSpec, Predictor, str]:
    export = folder / EXPORT
    entries = read_manifest(export)
    if file == INT8_FILE and file not in entries:
        raise UserError(
            f"{export} has no {file}: the export stage found none that is good enough (see "
            "results/export/int8_attempts.csv); use the float model."
        )
    description = read_exported(export, DESCRIPTION)
    bundle = folder / DESCRIPTION
    if bundle.exists() and bundle.read_bytes() != description:
        raise UserError(
            f"{export} was made from another model than the one in {folder}: run the export stage "
            "(`dvc repro`), or `dvc checkout`."
        )
    try:
        spec = BundleSpec.model_validate_json(description)
    except ValidationError:
        raise UserError(
            f"{export / DESCRIPTION} describes a model of another version of this program: run "
            "the export stage again."
        ) from None
    if runtime == "openvino":
        predictor = load_openvino(read_exported(export, file), threads)
    else:
        predictor = load_exported(export, file, threads)
    return spec, predictor, entries[file].sha256[:12]


def _load_bundle(folder: Path, threads: int) -> tuple[BundleSpec, Predictor, str]:
    # Heavy, and of use only here.
    import torch  # noqa: PLC0415

    from classifier.core.files import sha256_of  # noqa: PLC0415
    from classifier.inference.torch_runtime import eager  # noqa: PLC0415
    from classifier.models.bundle import WEIGHTS, load_bundle  # noqa: PLC0415
    from classifier.models.devices import choose_device  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    bundle = load_bundle(folder, choose_device())
    return bundle.spec, eager(bundle.model), sha256_of(folder / WEIGHTS)[:12]


def _read_choice(path: Path) -> tuple[list[str], Merge]:
    try:
        choice = json.loads(path.read_text("utf-8"))
        return choice["views"], choice["merge"]
    except FileNotFoundError:
        raise UserError(
            f"{path}, which names the views of test-time augmentation, is missing: run the "
            "tta_evaluate stage, or `dvc checkout`."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path} does not name views: run the tta_evaluate stage again, or `dvc checkout`."
        ) from None
