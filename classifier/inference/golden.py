"""Golden images: inputs that travel with an export, and what each file must answer to them.

`golden.npy` holds the images, uint8 `(n, input_size, input_size, 3)`, and `golden.json` the probabilities
that each file gave where it was made. ONNX Runtime and NumPy are all that this needs.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.inference.manifest import read_exported, read_manifest
from classifier.inference.onnx_runtime import Predictor
from classifier.processing.softmax import probabilities

IMAGES, EXPECTED = "golden.npy", "golden.json"
COUNT = 8


def choose_golden(logits: np.ndarray, count: int = COUNT) -> np.ndarray:
    """Indices of images from the least to the most confident: int64 `(<= count,)`.

    logits: float32 `(N, classes)`. Softmax hides an error where the model is certain, so images
    that it doubts belong among them.
    """
    ordered = np.sort(logits, axis=1)
    lead = ordered[:, -1] - ordered[:, -2] if logits.shape[1] > 1 else ordered[:, -1]
    order = np.argsort(lead, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).astype(int))]


def golden_content(
    classes: list[str], temperature: float, answers: dict[str, np.ndarray]
) -> dict[str, Any]:
    """What `golden.json` holds. answers: by file, float64 `(n, classes)`."""
    rounded = {file: np.round(values, 6).tolist() for file, values in answers.items()}
    return {"classes": classes, "temperature": temperature, "probabilities": rounded}


class Replay(NamedTuple):
    """How a file's answers compare with those that were written down."""

    largest_difference: float
    other_classes: int
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.other_classes == 0 and bool(self.largest_difference <= self.tolerance)


def compare_answers(answers: np.ndarray, expected: np.ndarray, tolerance: float) -> Replay:
    """answers, expected: probabilities float64 `(n, classes)`.

    The predicted class counts where the expected one leads by more than the tolerance: of two
    classes that are as good as equal, another processor may prefer the other.
    """
    ordered = np.sort(expected, axis=1)
    decided = ordered[:, -1] - ordered[:, -2] > tolerance
    other = answers.argmax(axis=1) != expected.argmax(axis=1)
    difference = float(np.abs(answers - expected).max())
    return Replay(difference, int(np.sum(other & decided)), tolerance)


@dataclass(frozen=True)
class Golden:
    """The golden images of an export and what is expected of its files.

    images: uint8 `(n, input_size, input_size, 3)`. expected: by file, probabilities float64 `(n, classes)`.
    tolerances: by file, of a probability.
    """

    images: np.ndarray
    temperature: float
    expected: dict[str, np.ndarray]
    tolerances: dict[str, float]

    def replay(self, file: str, predict: Predictor) -> str:
        """How `predict` agrees with what is expected of the file, in words.

        Raises UserError where it does not.
        """
        answers = probabilities(predict(self.images), self.temperature)
        replay = compare_answers(answers, self.expected[file], self.tolerances[file])
        found = (
            f"{len(self.images)} golden images, largest difference of a probability "
            f"{replay.largest_difference:.2g} (allowed {replay.tolerance:g})"
        )
        if replay.passed:
            return found
        raise UserError(f"{found}, another class for {replay.other_classes} of them.")


def read_golden(folder: Path) -> Golden:
    """The golden images of the export in `folder`; raises UserError as `read_exported` does."""
    content = json.loads(read_exported(folder, EXPECTED))
    entries = read_manifest(folder).items()
    return Golden(
        images=np.load(io.BytesIO(read_exported(folder, IMAGES)), allow_pickle=False),
        temperature=content["temperature"],
        expected={file: np.array(rows) for file, rows in content["probabilities"].items()},
        tolerances={file: one.tolerance for file, one in entries if one.tolerance is not None},
    )
