"""The answer of a model for one image, as the commands, the server and programs see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from classifier.processing.decision import ALWAYS, Decision
from classifier.processing.rules import Decided, Reason, decide, in_sets
from classifier.processing.similar_images import SimilarImage
from classifier.processing.softmax import UNKNOWN


@dataclass(frozen=True)
class Candidate:
    """A class that an image may be of, and how probable that is."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Answer:
    """The answer of a model for one image.

    Attributes:
        classes: names of the classes.
        probabilities: of every class, float64 `(classes,)`.
        decision: the rules that say what is answered.
        outside: the outside score: the higher, the less the image looks like those of any class;
            None where the model gives none.
        similar: training images that are most like it, the most similar first; empty where none
            travel with the model (`export.similar_images`), and with the runtime `torch`.
        views: number of views of the image that were merged.
    """

    classes: Sequence[str]
    probabilities: np.ndarray
    decision: Decision = ALWAYS
    outside: float | None = None
    similar: Sequence[SimilarImage] = ()
    views: int = 1

    @cached_property
    def _decided(self) -> Decided:
        outside = None if self.outside is None else np.array([self.outside])
        return decide(self.probabilities[np.newaxis], outside, self.decision)

    @property
    def best(self) -> Candidate:
        """The class that is answered, or the most probable class where that is `unknown`.

        They differ with costs (`evaluate.costs`) alone, where the class that costs least is
        answered.
        """
        if self.rejected:
            return self.top(1)[0]
        return self._candidate(int(self._decided.classes[0]))

    @property
    def reason(self) -> Reason | None:
        """Why the answer is `unknown`; None where it is a class."""
        return self._decided.reasons[0]

    @property
    def rejected(self) -> bool:
        """Whether the answer is `unknown`."""
        return self.reason is not None

    @property
    def label(self) -> str:
        """The name of the class, or `unknown`."""
        return UNKNOWN if self.rejected else self.best.label

    @property
    def index(self) -> int | None:
        """The index of the class, or None where the answer is `unknown`."""
        return None if self.rejected else self.best.index

    @property
    def probability(self) -> float:
        """Of the class in `best`: where the answer is `unknown`, the highest."""
        return self.best.probability

    @property
    def set(self) -> list[Candidate] | None:
        """The prediction set, the most probable class first; None where the model has no sets.

        The true class of an image like those of the validation split is in it with the probability
        `evaluate.coverage`, whether or not the answer is `unknown`.
        """
        sets = self.decision.sets
        if sets is None:
            return None
        inside = in_sets(self.probabilities[np.newaxis], sets)[0]
        return [one for one in self.top(len(self.classes)) if inside[one.index]]

    def top(self, count: int) -> list[Candidate]:
        """Return the `count` most probable classes, or all of them, the best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [self._candidate(int(index)) for index in order]

    def beside_best(self, count: int) -> list[Candidate]:
        """Return the `count` most probable classes but that in `best`, which need not be first."""
        return [one for one in self.top(count + 1) if one.index != self.best.index][:count]

    def _candidate(self, index: int) -> Candidate:
        return Candidate(self.classes[index], index, float(self.probabilities[index]))
