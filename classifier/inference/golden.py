"""Golden images: inputs that travel with an export, and what each file must answer to them.

`golden.npy` holds the images, uint8 `(n, input_size, input_size, 3)`, and `golden.json` the
probabilities and the labels that each file gave where it was made. Needs ONNX Runtime and NumPy
only.
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
from classifier.processing.softmax import DECISION, decide, probabilities

IMAGES, EXPECTED = "golden.npy", "golden.json"
COUNT = 8


def choose_golden(logits: np.ndarray, count: int = COUNT) -> np.ndarray:
    """Return indices of images from the least to the most confident: int64 `(<= count,)`.

    Softmax hides an error where the model is certain, so images that it doubts belong among them.

    Args:
        logits: float32 `(N, classes)`.
        count: number of images, fewer where there are fewer.
    """
    ordered = np.sort(logits, axis=1)
    lead = ordered[:, -1] - ordered[:, -2] if logits.shape[1] > 1 else ordered[:, -1]
    order = np.argsort(lead, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).astype(int))]


def golden_content(
    classes: list[str],
    temperature: float,
    answers: dict[str, np.ndarray],
    reject_below: float | None,
) -> dict[str, Any]:
    """Return what `golden.json` holds: probabilities and labels that each file must give.

    Args:
        classes: names of the classes.
        temperature: of the model.
        answers: by file, probabilities float64 `(n, classes)`.
        reject_below: of the decision that travels with the files.
    """
    rounded = {file: np.round(values, 6) for file, values in answers.items()}
    return {
        "classes": classes,
        "temperature": temperature,
        "probabilities": {file: values.tolist() for file, values in rounded.items()},
        "labels": {file: decide(values, classes, reject_below) for file, values in rounded.items()},
    }


class Replay(NamedTuple):
    """How a file's answers compare with the expected ones.

    Attributes:
        largest_difference: of a probability.
        other_labels: number of images that get another label.
        tolerance: of a probability.
    """

    largest_difference: float
    other_labels: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the labels are the same and the probabilities within the tolerance."""
        return self.other_labels == 0 and bool(self.largest_difference <= self.tolerance)


@dataclass(frozen=True)
class Golden:
    """The golden images of an export and what is expected of its files.

    Attributes:
        images: uint8 `(n, input_size, input_size, 3)`.
        classes: names of the classes.
        temperature: of the model.
        reject_below: of the export's `decision.json`.
        expected: by file, probabilities float64 `(n, classes)`.
        labels: by file, the class of each image or `unknown`.
        tolerances: by file, of a probability.
    """

    images: np.ndarray
    classes: list[str]
    temperature: float
    reject_below: float | None
    expected: dict[str, np.ndarray]
    labels: dict[str, list[str]]
    tolerances: dict[str, float]

    def replay(self, file: str, predict: Predictor) -> str:
        """Compare what `predict` gives with what is expected of the file; return it in words.

        Raises:
            UserError: where it does not agree.
        """
        answers = probabilities(predict(self.images), self.temperature)
        replay = self.compare(file, answers)
        found = (
            f"{len(self.images)} golden images, largest difference of a probability "
            f"{replay.largest_difference:.2g} (allowed {replay.tolerance:g})"
        )
        if replay.passed:
            return found
        raise UserError(f"{found}, another label for {replay.other_labels} of them.")

    def compare(self, file: str, answers: np.ndarray) -> Replay:
        """Compare probabilities, float64 `(n, classes)`, with those expected of the file.

        A label counts where the expected probabilities leave no doubt about it: where two classes
        are as good as equal, or the confidence is close to the threshold, within the tolerance,
        another processor may decide otherwise.
        """
        expected, tolerance = self.expected[file], self.tolerances[file]
        ordered = np.sort(expected, axis=1)
        clear = np.abs(ordered[:, -1] - (self.reject_below or 0.0)) > tolerance
        if expected.shape[1] > 1:
            lead = ordered[:, -1] - ordered[:, -2]
            # An image that is rejected stays so, whichever class is the best.
            clear &= (lead > tolerance) | (ordered[:, -1] < (self.reject_below or 0.0))
        labels = np.array(decide(answers, self.classes, self.reject_below))
        other = labels != np.array(self.labels[file])
        difference = float(np.abs(answers - expected).max())
        return Replay(difference, int(np.sum(other & clear)), tolerance)


def read_golden(folder: Path) -> Golden:
    """Read the golden images of the export in `folder`.

    Raises:
        UserError: as `read_exported` does.
    """
    content = json.loads(read_exported(folder, EXPECTED))
    decision = json.loads(read_exported(folder, DECISION))
    entries = read_manifest(folder).items()
    return Golden(
        images=np.load(io.BytesIO(read_exported(folder, IMAGES)), allow_pickle=False),
        classes=content["classes"],
        temperature=content["temperature"],
        reject_below=decision["reject_below"],
        expected={file: np.array(rows) for file, rows in content["probabilities"].items()},
        labels=content["labels"],
        tolerances={file: one.tolerance for file, one in entries if one.tolerance is not None},
    )
