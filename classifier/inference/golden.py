"""Golden images: inputs that travel with an export, and what each file must answer to them.

`golden.npy` holds the centre of the images, uint8 `(n, input_size, input_size, 3)`,
`golden_tta.npy` the views of `tta.json`, `(views, n, input_size, input_size, 3)`, and `golden.json`
the probabilities, outside scores, similarities and labels that each file gave to both where it was
made. Needs ONNX Runtime and NumPy only.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.inference.onnx_runtime import Outputs, Predictor
from classifier.processing.rules import decide, expected_costs, is_outside, largest_cost
from classifier.processing.softmax import Merge, mean_of_views, merge_views

if TYPE_CHECKING:
    from classifier.processing.decision import Decision

# An outside score may differ by this many times as much as a probability: its unit is the standard
# deviation of the scores of good images, while probabilities lie between 0 and 1.
OUTSIDE_FACTOR = 10
IMAGES, TTA_IMAGES, EXPECTED = "golden.npy", "golden_tta.npy", "golden.json"
COUNT = 8
# Similarities to so many training images are kept: they prove those to all, which are one product.
_SIMILARITIES = 8


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


class GoldenAnswers(NamedTuple):
    """What a file gives for the golden images.

    Attributes:
        probabilities: float64 `(n, classes)`.
        outside: outside scores, float64 `(n,)`; None where the file gives none.
        similarity: to the first of the training images that travel, float64 `(n, k)`; None without.
    """

    probabilities: np.ndarray
    outside: np.ndarray | None
    similarity: np.ndarray | None = None


@dataclass(frozen=True)
class GoldenInputs:
    """What the network is shown, and how its outputs become an answer.

    Attributes:
        images: uint8 `(n, input_size, input_size, 3)`, the centre of each image.
        tta_images: uint8 `(views, n, input_size, input_size, 3)`.
        classes: names of the classes.
        temperature: of the model.
        merge: how the views are merged, see `merge_views`.
        decision: the rules that travel with the files.
    """

    images: np.ndarray
    tta_images: np.ndarray
    classes: list[str]
    temperature: float
    merge: Merge
    decision: "Decision"

    def answers(self, predict: Predictor) -> tuple[GoldenAnswers, GoldenAnswers]:
        """Return what `predict` gives for the centres, and for the views."""
        return (
            self.answer(self.images, predict),
            self._merged([predict(view) for view in self.tta_images]),
        )

    def answer(self, images: np.ndarray, predict: Predictor) -> GoldenAnswers:
        """Return what `predict` gives for model inputs, uint8 `(n, input_size, input_size, 3)`."""
        return self._merged([predict(images)])

    def labels(self, answers: GoldenAnswers) -> list[str]:
        """Return the answer to each image: the name of a class, or `unknown`."""
        return decide(answers.probabilities, answers.outside, self.decision).labels(self.classes)

    def _merged(self, views: list[Outputs]) -> GoldenAnswers:
        logits = np.stack([view.logits for view in views])
        similarity = mean_of_views([view.similarity for view in views])
        return GoldenAnswers(
            merge_views(logits, self.temperature, self.merge),
            mean_of_views([view.outside for view in views]),
            None if similarity is None else similarity[:, :_SIMILARITIES],
        )


def golden_content(
    inputs: GoldenInputs, answers: dict[str, tuple[GoldenAnswers, GoldenAnswers]]
) -> dict[str, Any]:
    """Return what `golden.json` holds; answers by file, as `GoldenInputs.answers` gives them."""
    content: dict[str, Any] = {
        "classes": inputs.classes,
        "temperature": inputs.temperature,
        "merge": inputs.merge,
        "labels": {file: inputs.labels(alone) for file, (alone, _) in answers.items()},
    }
    for place, prefix in enumerate(("", "tta_")):
        for name in GoldenAnswers._fields:
            values = {file: getattr(pair[place], name) for file, pair in answers.items()}
            content[f"{prefix}{name}"] = {
                file: np.round(value, 6).tolist()
                for file, value in values.items()
                if value is not None
            }
    return content


class Replay(NamedTuple):
    """How a file's answers compare with the expected ones.

    Attributes:
        largest_difference: of a probability.
        largest_outside_difference: of an outside score; 0 without.
        largest_similarity_difference: of a similarity to a training image; 0 without.
        other_labels: number of images that get another label.
        tolerance: of a probability and of a similarity; ten times as much of an outside score.
    """

    largest_difference: float
    largest_outside_difference: float
    largest_similarity_difference: float
    other_labels: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the labels are the same, and all numbers within the tolerance."""
        differences = (
            self.largest_difference,
            self.largest_similarity_difference,
            self.largest_outside_difference / OUTSIDE_FACTOR,
        )
        return self.other_labels == 0 and max(differences) <= self.tolerance


@dataclass(frozen=True)
class Golden:
    """The golden images of an export and what is expected of its files.

    Attributes:
        inputs: what the network is shown.
        expected: by file, the answers for the centres and for the views.
        tolerances: by file, of a probability and of a similarity; ten times as much of an outside
            score.
    """

    inputs: GoldenInputs
    expected: dict[str, tuple[GoldenAnswers, GoldenAnswers]]
    tolerances: dict[str, float]

    def replay(self, file: str, predict: Predictor) -> str:
        """Compare what `predict` gives with what is expected of the file; return it in words.

        Raises:
            UserError: where it does not agree, or where nothing is expected of the file.
        """
        if file not in self.expected or file not in self.tolerances:
            raise UserError("it has no golden answers.")
        pairs = zip(self.inputs.answers(predict), self.expected[file], strict=True)
        replays = [self.compare(file, given, expected) for given, expected in pairs]
        expected, also = self.expected[file][0], ""
        if expected.outside is not None:
            largest = max(replay.largest_outside_difference for replay in replays)
            also += f", of an outside score {largest:.2g}"
        if expected.similarity is not None:
            largest = max(replay.largest_similarity_difference for replay in replays)
            also += f", of a similarity {largest:.2g}"
        found = (
            f"{len(self.inputs.images)} golden images, largest difference of a probability "
            f"{max(replay.largest_difference for replay in replays):.2g}{also} "
            f"(allowed {self.tolerances[file]:g})"
        )
        if all(replay.passed for replay in replays):
            return found
        other = max(replay.other_labels for replay in replays)
        raise UserError(f"{found}, another label for {other} of them.")

    def compare(self, file: str, answers: GoldenAnswers, expected: GoldenAnswers) -> Replay:
        """Compare the answers of a file with those expected of it.

        A label counts where the expected answer leaves no doubt about it: where two classes are as
        good as equal, or a threshold is close, within the tolerance, another processor may decide
        otherwise.
        """
        tolerance = self.tolerances[file]
        clear = _clear(expected, self.inputs.decision, tolerance)
        labels, wanted = (np.array(self.inputs.labels(of)) for of in (answers, expected))
        # An export of an earlier version expects no similarities.
        alike = None if expected.similarity is None else answers.similarity
        return Replay(
            _largest_difference(answers.probabilities, expected.probabilities),
            _largest_difference(answers.outside, expected.outside),
            _largest_difference(alike, expected.similarity),
            int(np.sum((labels != wanted) & clear)),
            tolerance,
        )


def _clear(answers: GoldenAnswers, decision: "Decision", tolerance: float) -> np.ndarray:
    """Return where no change within the tolerance changes the label: bool `(n,)`."""
    confidence, threshold = answers.probabilities.max(axis=1), decision.reject_below or 0.0
    far, low = np.abs(confidence - threshold) > tolerance, confidence < threshold
    outside = is_outside(answers.outside, decision)
    far_outside: np.ndarray = np.array(True)
    if answers.outside is not None and decision.outside_above is not None:
        away = np.abs(answers.outside - decision.outside_above)
        far_outside = away > OUTSIDE_FACTOR * tolerance
    costs = np.sort(expected_costs(answers.probabilities, decision.costs), axis=1)
    scale = 1.0 if decision.costs is None else largest_cost(decision.costs)
    leads = np.ones(len(costs), bool)
    if costs.shape[1] > 1:
        leads = costs[:, 1] - costs[:, 0] > tolerance * scale
    # An image that is refused for one reason stays so, whatever holds besides.
    return (outside & far_outside) | (low & far) | (far_outside & far & ~outside & ~low & leads)


def _largest_difference(given: np.ndarray | None, expected: np.ndarray | None) -> float:
    """Return the largest difference; infinity for what is no number or stands on one side alone."""
    if given is None or expected is None:
        return 0.0 if given is expected else float("inf")
    differences = np.abs(given - expected)
    # NaN, which passes no comparison, is a difference too.
    return float("inf") if np.isnan(differences).any() else float(differences.max())
