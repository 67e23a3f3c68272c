"""Answers as JSON, see `schemas.ImageAnswer`."""

from collections.abc import Sequence
from typing import Any

from classifier.inference.answer import Answer, Candidate

_DECIMALS = 6


def answer_content(answer: Answer, top_k: int, warnings: Sequence[str]) -> dict[str, Any]:
    """Return an answer, and the warnings of the decoder, as `ImageAnswer` describes them."""
    return {
        "label": answer.label,
        "index": answer.index,
        "probability": round(answer.probability, _DECIMALS),
        "reason": answer.reason,
        "outside": None if answer.outside is None else round(answer.outside, _DECIMALS),
        "set": None if answer.set is None else [one.label for one in answer.set],
        "top": [_scored(candidate) for candidate in answer.top(top_k)],
        "probabilities": {
            label: round(value, _DECIMALS)
            for label, value in zip(answer.classes, answer.probabilities.tolist(), strict=True)
        },
        "similar": [one._asdict() for one in answer.similar],
        "views": answer.views,
        "warnings": list(warnings),
    }


def _scored(candidate: Candidate) -> dict[str, Any]:
    return {
        "label": candidate.label,
        "index": candidate.index,
        "probability": round(candidate.probability, _DECIMALS),
    }
