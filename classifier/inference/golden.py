"""Golden images: inputs that travel with an export, and what each file must answer to them.

`golden.npy` holds the centre of the images, uint8 `(n, input_size, input_size, 3)`,
`golden_tta.npy` the views of `tta.json`, `(views, n, input_size, input_size, 3)`, and `golden.json`
the probabilities and the labels that each file gave to both where it was made. Needs ONNX Runtime
and NumPy only.
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
from classifier.processing.softmax import DECISION, Merge, decide, merge_views, probabilities

IMAGES, TTA_IMAGES, EXPECTED = "golden.npy", "golden_tta.npy", "golden.json"
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


@dataclass(frozen=True)
class GoldenInputs:
    """What the network is shown, and how its logits become probabilities.

    Attributes:
        images: uint8 `(n, input_size, input_size, 3)`, the centre of each image.
        tta_images: uint8 `(views, n, input_size, input_size, 3)`.
        classes: names of the classes.
        temperature: of the model.
        merge: how the views are merged, see `merge_views`.
        reject_below: of the decision that travels with the files.
    """

    images: np.ndarray
    tta_images: np.ndarray
    classes: list[str]
    temperature: float
    merge: Merge
    reject_below: float | None

    def answers(self, predict: Predictor) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities for the centres and for the views: float64 `(n, classes)`."""
        views = np.stack([predict(view) for view in self.tta_images])
        return (
            probabilities(predict(self.images), self.temperature),
            merge_views(views, self.temperature, self.merge),
        )


def golden_content(
    inputs: GoldenInputs, answers: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """Return what `golden.json` holds; answers by file, as `GoldenInputs.answers` gives them."""
    alone, with_tta = (
        {file: np.round(pair[place], 6) for file, pair in answers.items()} for place in (0, 1)
    )
    return {
        "classes": inputs.classes,
        "temperature": inputs.temperature,
        "merge": inputs.merge,
        "probabilities": {file: values.tolist() for file, values in alone.items()},
        "labels": {
            file: decide(values, inputs.classes, inputs.reject_below)
            for file, values in alone.items()
        },
        "tta_probabilities": {file: values.tolist() for file, values in with_tta.items()},
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
        inputs: what the network is shown.
        expected: by file, probabilities float64 `(n, classes)` for the centres and for the views.
        tolerances: by file, of a probability.
    """

    inputs: GoldenInputs
    expected: dict[str, tuple[np.ndarray, np.ndarray]]
    tolerances: dict[str, float]

    def replay(self, file: str, predict: Predictor) -> str:
        """Compare what `predict` gives with what is expected of the file; return it in words.

        Raises:
            UserError: where it does not agree.
        """
        pairs = zip(self.inputs.answers(predict), self.expected[file], strict=True)
        replays = [self.compare(file, given, expected) for given, expected in pairs]
        found = (
            f"{len(self.inputs.images)} golden images, largest difference of a probability "
            f"{max(replay.largest_difference for replay in replays):.2g} "
            f"(allowed {self.tolerances[file]:g})"
        )
        if all(replay.passed for replay in replays):
            return found
        other = max(replay.other_labels for replay in replays)
        raise UserError(f"{found}, another label for {other} of them.")

    def compare(self, file: str, answers: np.ndarray, expected: np.ndarray) -> Replay:
        """Compare probabilities of a file with those expected of it, both float64 `(n, classes)`.

        A label counts where the expected probabilities leave no doubt about it: where two classes
        are as good as equal, or the confidence is close to the threshold, within the tolerance,
        another processor may decide otherwise.
        """
        tolerance, threshold = self.tolerances[file], self.inputs.reject_below or 0.0
        ordered = np.sort(expected, axis=1)
        clear = np.abs(ordered[:, -1] - threshold) > tolerance
        if expected.shape[1] > 1:
            lead = ordered[:, -1] - ordered[:, -2]
            # An image that is rejected stays so, whichever class is the best.
            clear &= (lead > tolerance) | (ordered[:, -1] < threshold)
        labels, wanted = (
            np.array(decide(values, self.inputs.classes, self.inputs.reject_below))
            for values in (answers, expected)
        )
        differences = np.abs(answers - expected)
        # NaN, which passes no comparison, is a difference too.
        largest = float("inf") if np.isnan(differences).any() else float(differences.max())
        return Replay(largest, int(np.sum((labels != wanted) & clear)), tolerance)


def read_golden(folder: Path) -> Golden:
    """Read the golden images of the export in `folder`.

    Raises:
        UserError: as `read_exported` does.
    """
    content = json.loads(read_exported(folder, EXPECTED))
    images, tta_images = (
        np.load(io.BytesIO(read_exported(folder, file)), allow_pickle=False)
        for file in (IMAGES, TTA_IMAGES)
    )
    inputs = GoldenInputs(
        images,
        tta_images,
        classes=content["classes"],
        temperature=content["temperature"],
        merge=content["merge"],
        reject_below=json.loads(read_exported(folder, DECISION))["reject_below"],
    )
    alone, with_tta = content["probabilities"], content["tta_probabilities"]
    expected = {file: (np.array(alone[file]), np.array(with_tta[file])) for file in alone}
    entries = read_manifest(folder).items()
    tolerances = {file: one.tolerance for file, one in entries if one.tolerance is not None}
    return Golden(inputs, expected, tolerances)
