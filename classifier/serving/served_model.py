"""Load a model, check it, and carry it to the workers.

Each worker builds the model from the same bytes, so that a folder that changes under a running
server never leads to two models at once.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.core.errors import UserError
from classifier.core.files import sha256_of
from classifier.inference.golden_reader import read_golden
from classifier.inference.manifest import (
    MANIFEST,
    export_folder,
    read_exported,
    read_manifest,
)
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE
from classifier.inference.predict import LOADERS, ExportedRuntime, Model
from classifier.processing.decision import Decision
from classifier.processing.similar_images import SIMILAR_SHEET, SimilarImages
from classifier.processing.softmax import Merge
from classifier.processing.spec import BundleSpec
from classifier.processing.views import named_view
from classifier.serving.workers.batch_size import useful_batch_size

MODEL_CARD = "MODEL_CARD.md"
_VERSION_DIGITS = 12
# A call of the model may take this many times as long as it did at the start.
_PATIENCE = 20


@dataclass(frozen=True)
class ServedModel:
    """A model that was checked.

    Attributes:
        version: See `Model`.
        info: What `/model` answers, see `ModelInfo`.
        build: Makes the model, where it is needed.
        batch_size: Images that one call should take at most.
        call_seconds: What a call takes at most, generously.
        found: What the check found, in words.
        size: Bytes of the model's file.
        similar: JPEG file of the training images that travel with it; None without.
    """

    version: str
    info: dict[str, Any]
    build: Callable[[], Model]
    batch_size: int = 1
    call_seconds: float = 10.0
    found: str = ""
    size: int = 0
    similar: bytes | None = None


@dataclass(frozen=True)
class ModelRecipe:
    """All that a model is made of, without what cannot be sent to another process.

    Attributes:
        content: Of the ONNX file.
        runtime: What runs it.
        views: Names of the views, see `named_view`.
        spec: See `Model`, as the others.
        version: See `Model`.
        merge: See `Model`.
        decision: See `Model`.
        similar: See `Model`.
    """

    content: bytes
    runtime: ExportedRuntime
    views: list[str]
    spec: BundleSpec
    version: str
    merge: Merge
    decision: Decision
    similar: SimilarImages | None

    def __call__(self) -> Model:
        """Return the model, with one thread a call."""
        spec = self.spec
        views = [named_view(name, spec.stored_size, spec.input_size) for name in self.views]
        predictor = LOADERS[self.runtime](self.content, 1)
        return Model(spec, predictor, self.version, views, self.merge, self.decision, self.similar)


def prepare(
    open_model: Callable[[], Model], folder: Path, *, int8: bool, runtime: ExportedRuntime
) -> ServedModel:
    """Load a model and check that it answers as it did where it was exported.

    Args:
        open_model: Loads it from `folder`, with one thread a call.
        folder: Of the model, or of an export.
        int8: Whether it is the eight-bit file.
        runtime: What runs it.

    Raises:
        UserError: It does not answer so, or a file is missing or damaged.
    """
    model = open_model()
    export, file = export_folder(folder), INT8_FILE if int8 else ONNX_FILE
    content = read_exported(export, file)
    if read_manifest(export)[file].sha256[:_VERSION_DIGITS] != model.version:
        raise UserError(f"{export} changed while it was read; try again.")
    golden = read_golden(export)
    try:
        found = golden.replay(file, model.predictor)
    except UserError as error:
        raise UserError(
            f"{file} gives other answers here than where it was made: {error} Do not use it on "
            "this machine."
        ) from None
    images = golden.inputs.images
    batch_size = useful_batch_size(model.predictor, images)
    started = time.perf_counter()
    model.predictor(images)
    call_seconds = _PATIENCE * len(model.views) * (time.perf_counter() - started)
    views = [view.name for view in model.views]
    recipe = ModelRecipe(
        content,
        runtime,
        views,
        model.spec,
        model.version,
        model.merge,
        model.decision,
        model.similar,
    )
    info = model_info(model, folder, file)
    if info["card"] is None and (folder / MODEL_CARD).exists():
        found += f"; {MODEL_CARD} is of another export and not shown (`dvc repro` writes it again)"
    return ServedModel(
        model.version,
        info,
        recipe,
        batch_size,
        call_seconds,
        f"{file} (model {model.version}): {found}",
        len(content),
        None if model.similar is None else read_exported(export, SIMILAR_SHEET),
    )


def model_info(model: Model, folder: Path, file: str) -> dict[str, Any]:
    """Return what `/model` answers, as `ModelInfo` describes it."""
    decision = model.decision
    entries = read_manifest(export_folder(folder))
    return {
        "classes": model.spec.classes,
        "model": model.version,
        "file": file,
        "files": {name: entry.sha256 for name, entry in entries.items()},
        "description": json.loads(model.spec.model_dump_json()),
        "views": [view.name for view in model.views],
        "reject_below": decision.reject_below or 0.0,
        "outside_above": decision.outside_above,
        "coverage": None if decision.sets is None else decision.sets.coverage,
        "similar_images": None
        if model.similar is None
        else {"side": model.similar.side, "columns": model.similar.columns},
        "card": _card_of_export(folder),
    }


def _card_of_export(folder: Path) -> str | None:
    """Return the model card; None where there is none, or where it lists files of another export.

    The report stage writes it beside the export, which may have been made again since.
    """
    card = folder / MODEL_CARD
    text = card.read_text("utf-8", "replace") if card.exists() else ""
    return text if sha256_of(export_folder(folder) / MANIFEST) in text else None
