"""Read the golden images of an export. Needs ONNX Runtime and NumPy only.

An export may come from anywhere: whatever its files hold, the answer is golden images that fit
together, or a sentence.
"""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from classifier.core.errors import UserError
from classifier.inference.golden import (
    EXPECTED,
    IMAGES,
    TTA_IMAGES,
    Golden,
    GoldenAnswers,
    GoldenInputs,
)
from classifier.inference.manifest import parse_json, read_exported, read_manifest
from classifier.processing.softmax import DECISION, Merge

if TYPE_CHECKING:
    from classifier.processing.decision import Decision

# It needs pydantic to be read as a whole, which is not installed wherever an export is verified.
_DESCRIPTION = "model.json"


def read_golden(folder: Path) -> Golden:
    """Read the golden images of the export in `folder`.

    Raises:
        UserError: as `read_exported` does; and where a file is damaged, or two do not fit together.
    """
    described = _read_json(folder, _DESCRIPTION)
    content = _read_json(folder, EXPECTED)
    rules = _read_json(folder, DECISION)
    entries = read_manifest(folder).items()
    tolerances = {file: one.tolerance for file, one in entries if one.tolerance is not None}
    try:
        _check_same(content, described)
        inputs = GoldenInputs(
            *_read_images(folder, described["input_size"]),
            content["classes"],
            content["temperature"],
            content["merge"],
            _rules(rules),
        )
        expected = {
            file: (_expected(content, "", file, inputs), _expected(content, "tta_", file, inputs))
            for file in content["probabilities"]
        }
        golden = Golden(inputs, expected, tolerances)
        # The rules of decision.json fail here rather than in the middle of a replay.
        for file in expected.keys() & tolerances.keys():
            for answers in expected[file]:
                golden.compare(file, answers, answers)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise UserError(
            f"the golden images of {folder} are damaged ({error}): copy the folder again, or run "
            "the export stage."
        ) from None
    return golden


def _check_same(content: dict[str, Any], described: dict[str, Any]) -> None:
    """Raise ValueError where `golden.json` is of another model than `model.json`."""
    if any(content[name] != described[name] for name in ("classes", "temperature")):
        raise ValueError(f"their classes or temperature are not those of {_DESCRIPTION}")
    if content["merge"] not in get_args(Merge):
        raise ValueError("merge is unknown")


def _read_json(folder: Path, file: str) -> dict[str, Any]:
    content = read_exported(folder, file)
    try:
        return dict(parse_json(content).items())
    except (ValueError, AttributeError):
        raise UserError(
            f"{folder / file} is damaged: copy the folder again, or run the export stage."
        ) from None


def _read_images(folder: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres and the views; raise ValueError where they are no images of this side."""
    try:
        images, tta_images = (
            np.load(io.BytesIO(read_exported(folder, file)), allow_pickle=False)
            for file in (IMAGES, TTA_IMAGES)
        )
    # A header may promise any size.
    except (EOFError, MemoryError, OverflowError) as error:
        raise ValueError(str(error)) from None
    shape = (len(images), side, side, 3)
    is_whole = images.shape == shape == tta_images.shape[1:] and images.size and tta_images.size
    if not is_whole or {images.dtype, tta_images.dtype} != {np.dtype(np.uint8)}:
        raise ValueError(f"they are not images of {side} pixels")
    return images, tta_images


def _expected(
    content: dict[str, Any], prefix: str, file: str, inputs: GoldenInputs
) -> GoldenAnswers:
    probabilities = np.array(content[f"{prefix}probabilities"][file], np.float64)
    outside, similarity = (
        _if_listed(content, f"{prefix}{name}", file) for name in ("outside", "similarity")
    )
    size = len(inputs.images)
    if probabilities.shape != (size, len(inputs.classes)):
        raise ValueError(f"{EXPECTED} has not a probability for each image and class")
    if outside is not None and outside.shape != (size,):
        raise ValueError(f"{EXPECTED} has not an outside score for each image")
    if similarity is not None and (similarity.ndim != 2 or len(similarity) != size):
        raise ValueError(f"{EXPECTED} has not similarities for each image")
    return GoldenAnswers(probabilities, outside, similarity)


def _if_listed(content: dict[str, Any], name: str, file: str) -> np.ndarray | None:
    """Return the numbers of a file; None for those that exports of earlier versions lack."""
    listed = content.get(name, {}).get(file)
    return None if listed is None else np.array(listed, np.float64)


def _rules(content: dict[str, Any]) -> "Decision":
    """Return the rules of `decision.json`, whose schema `processing.decision` has."""
    absent = {"outside_above": None, "sets": None, "costs": None}
    rules = absent | content
    costs = rules["costs"] and SimpleNamespace(**rules["costs"])
    return cast("Decision", SimpleNamespace(**rules | {"costs": costs}))
