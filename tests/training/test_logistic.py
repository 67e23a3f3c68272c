"""Logistic regression as a head: the optimum, the same every time, in a plain linear layer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders.backbones import write_random_backbone
from builders.tiny import contents, tiny_params, tiny_section, write_project
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression as Oracle
from sklearn.preprocessing import StandardScaler
from torch import nn

from classifier.core.errors import UserError
from classifier.models.bundle import load_bundle
from classifier.training.logistic import LogisticRegression, Solution
from classifier.training.lr_finder import find_learning_rate
from stages import train

FROZEN = {"freeze": "backbone"}


def features(count: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of three classes, correlated and of unequal scales; the last one is constant."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % 3
    values = generator.normal(size=(count, 6)) @ generator.normal(size=(6, 6))
    values += generator.normal(size=(3, 6))[targets]
    values = np.column_stack([values * [1, 10, 100, 0.1, 1, 1], np.full(count, 7.0)])
    return torch.from_numpy(values), torch.from_numpy(targets)


def only(problem: LogisticRegression, strength: float) -> Solution:
    (solution,) = problem.path((strength,))
    return solution


@pytest.mark.parametrize("strength", [1.0, 0.03, 0.001])
def test_solution_is_the_optimum_that_scikit_learn_finds(strength: float) -> None:
    inputs, targets = features()
    found = only(LogisticRegression(inputs, targets, 3), strength).logits(inputs).softmax(1)
    standard = StandardScaler().fit_transform(inputs.numpy())
    oracle = Oracle(C=1 / (strength * len(targets)), tol=1e-10, max_iter=10_000)
    expected = oracle.fit(standard, targets.numpy()).predict_proba(standard)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_class_weights_count_as_so_many_images() -> None:
    inputs, targets = features()
    weights = torch.tensor([1.0, 2.0, 1.0])
    twice = torch.cat([inputs, inputs[targets == 1]]), torch.cat([targets, targets[targets == 1]])
    # Not standardised alike, so a weak penalty, which matters little.
    found = only(LogisticRegression(inputs, targets, 3, weights), 1e-4).logits(inputs)
    expected = only(LogisticRegression(*twice, 3), 1e-4).logits(inputs)
    np.testing.assert_allclose(found.softmax(1), expected.softmax(1), atol=0.01)


def test_feature_that_never_varies_has_no_weight() -> None:
    inputs, targets = features()
    solution = only(LogisticRegression(inputs, targets, 3), 0.1)
    assert (solution.weight[:, -1] == 0).all()
    assert solution.weight.isfinite().all()


def test_strengths_along_a_path_give_what_each_gives_alone() -> None:
    inputs, targets = features()
    problem = LogisticRegression(inputs, targets, 3)
    *_, last = problem.path((1.0, 0.1, 0.01))
    alone = only(problem, 0.01)
    np.testing.assert_allclose(last.logits(inputs), alone.logits(inputs), atol=1e-3)


def project(folder: Path, **changes: object) -> Path:
    write_project(folder, tiny_section(head="logistic", model=FROZEN, **changes))
    write_random_backbone(folder)
    return folder


def run_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    train.main()


def test_stage_leaves_a_linear_layer_that_is_the_same_with_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    made = []
    folder = project(tmp_path, feature_views=["flip"])
    for threads in (1, 2):
        torch.set_num_threads(threads)
        run_in(folder, monkeypatch)
        written = contents(folder / "results", without="timing.json")
        made.append(contents(folder / "models") | written)
    torch.set_num_threads(before)
    assert made[0] == made[1]
    head = load_bundle(tmp_path / "models").model.head
    assert [type(part) for part in head.children()] == [nn.Dropout, nn.Linear]
    history = pd.read_csv(tmp_path / "results/train/history.csv")
    assert history["l2"].is_monotonic_decreasing
    metrics = pd.read_json(tmp_path / "results/train/metrics.json", typ="series")
    assert history["val_loss"].min() == history["val_loss"][metrics["best_epoch"] - 1]
    assert metrics["val_accuracy"] > 0.6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": "logistic"}, r"set train\.model\.freeze: backbone"),
        ({"head": "logistic", "model": FROZEN, "sampling": "balanced"}, r"train\.sampling: natur"),
        ({"head": "logistic", "model": FROZEN, "mix": {"mixup": 0.2}}, r"train\.mix\.mixup: 0\.0"),
        ({"head": "mlp"}, r"set train\.model\.head\.hidden"),
        ({"feature_views": -1, "model": FROZEN}, "0 or more"),
        ({"feature_views": ["flop"], "model": FROZEN}, "view 'flop' is unknown"),
        ({"feature_views": ["identity"], "model": FROZEN}, "'identity' appears twice"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        tiny_params(**changes)


def test_learning_rate_of_a_head_without_one_is_not_searched() -> None:
    with pytest.raises(UserError, match="has no learning rate"):
        find_learning_rate(tiny_params(head="logistic", model=FROZEN))
