"""The page's rules of decision, against those of processing.rules, in a real browser."""

from typing import Any

import numpy as np
import pytest
from builders.web.browser import needs_chromium
from playwright.sync_api import Page

from classifier.inference.answer import Answer
from classifier.processing.decision import Costs, Decision, PredictionSets
from classifier.processing.softmax import probabilities

pytestmark = needs_chromium
CLASSES = ["a", "b", "c"]
DECISIONS = {
    "always": Decision(reject_below=None),
    "confidence": Decision(reject_below=0.6),
    "outside": Decision(reject_below=0.6, outside_above=0.3),
    "sets": Decision(
        reject_below=None, sets=PredictionSets(coverage=0.9, thresholds=[0.1, 0.3, 0.5])
    ),
    "reject": Decision(reject_below=None, costs=Costs(reject=0.3, errors=None)),
    "costs": Decision(
        reject_below=0.4, costs=Costs(reject=2.0, errors=[[0, 1, 9], [1, 0, 1], [3, 1, 0]])
    ),
}
DECIDE = """async ([rows, config]) => {
  const { decide } = await import("/answer.js");
  return rows.map(([logits, outside]) => decide(Float32Array.from(logits), outside, config));
}"""


def in_page(
    page: Page, logits: np.ndarray, outside: np.ndarray, decision: Decision
) -> list[dict[str, Any]]:
    config = {"temperature": 1.7, "decision": decision.model_dump(mode="json")}
    rows = list(zip(logits.tolist(), outside.tolist(), strict=True))
    return page.evaluate(DECIDE, [rows, config])


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_answers_are_those_of_python(page: Page, decision: Decision) -> None:
    draws = np.random.default_rng(0)
    logits = draws.normal(0, 2, (200, 3)).astype(np.float32)
    outside = draws.normal(0, 1, 200)
    given = in_page(page, logits, outside, decision)
    for row, score, answer in zip(logits, outside.tolist(), given, strict=True):
        expected = Answer(CLASSES, probabilities(row, 1.7), decision, score)
        assert answer["index"] == expected.best.index
        assert answer["reason"] == expected.reason
        inside = None if expected.set is None else [one.index for one in expected.set]
        assert answer["set"] == inside
        np.testing.assert_allclose(answer["probabilities"], expected.probabilities, rtol=1e-12)
