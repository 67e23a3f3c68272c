import time

import numpy as np
import pytest
from builders.tiny import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.evaluation.view_search import greedy_views, milliseconds_per_image
from classifier.metrics.classification import cross_entropy
from classifier.processing.softmax import merge_views
from classifier.processing.views import named_view

LABELS = np.arange(400) % 3


def seen(*blur: float, seed: int = 0) -> np.ndarray:
    """Logits of a view each: the truth, and noise of that strength."""
    generator = np.random.default_rng(seed)
    noise = [generator.normal(0, strength, (400, 3)) for strength in blur]
    return np.stack([3 * np.eye(3)[LABELS] + of_view for of_view in noise]).astype(np.float32)


def search(logits: np.ndarray, limit: int = 10) -> list[int]:
    return greedy_views(logits, LABELS, temperature=1.0, merge="probabilities", limit=limit)


def test_views_that_know_more_join_and_the_best_first():
    assert search(seen(3, 2, 1))[:2] == [0, 2]
    assert sorted(search(seen(3, 8, 1.5, 1.5, 8))) == [0, 2, 3]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_views_join_than_allowed(limit: int):
    assert len(search(seen(3, 1, 1, 1, 1), limit)) == limit


def test_one_image_says_nothing_about_views():
    logits = np.array([[[0.0, 1.0]], [[9.0, 0.0]]])
    labels = np.zeros(1, np.int64)
    found = greedy_views(logits, labels, temperature=1.0, merge="probabilities", limit=2)
    assert found == [0]


@pytest.mark.parametrize(("spread", "found"), [(0.8, [0, 1]), (0.95, [0])])
def test_a_view_joins_where_the_fall_is_above_two_standard_errors(spread: float, found: list[int]):
    # Their mean is 0.5 and its standard error 0.5 spread / sqrt(3): twice that is 0.5 at 0.866.
    falls = 0.5 * (1 + spread * np.array([-1, 0, 1]))
    right = np.stack([np.full(3, 0.1), 0.2 * np.exp(falls) - 0.1])
    logits = np.log(np.stack([right, 1 - right], axis=-1))
    labels = np.zeros(3, np.int64)
    assert greedy_views(logits, labels, temperature=1.0, merge="probabilities", limit=2) == found


def test_views_that_say_the_same_do_not_join():
    assert search(np.repeat(seen(2), 4, axis=0)) == [0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_views_that_differ_by_a_little_noise_do_not_join(seed: int):
    first = seen(1.5)[0]
    noise = np.random.default_rng(seed).normal(0, 0.3, (6, 400, 3)).astype(np.float32)
    # That averaging the noise away helps is not known surely, but in one search of many.
    assert len(search(np.stack([first, *(first + of_view for of_view in noise)]))) <= 3


def test_the_found_views_lower_the_log_loss():
    logits = seen(3, 3, 3, 3)
    found = search(logits)
    before, after = (
        cross_entropy(merge_views(logits[views], 1.0, "probabilities"), LABELS)
        for views in ([0], found)
    )
    assert after < before


def test_cost_is_that_of_all_views(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    model, rows = tiny_model(), np.arange(64)

    def take_a_second(*_: object) -> None:
        clock[0] += 1

    model.register_forward_hook(take_a_second)
    images = np.zeros((64, 8, 8, 3), np.uint8)
    views = [named_view(name, 8, 8) for name in ("identity", "flip", "shift_up_1", "shift_up_2")]
    one, four = (milliseconds_per_image(model, images, rows, of) for of in (views[:1], views))
    assert (one, four) == (15.625, 62.5)
