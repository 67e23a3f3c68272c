"""Logistic regression as a head: the optimum, the same every time, in a plain linear layer."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from builders.backbones import write_random_backbone
from builders.tiny import contents, tiny_params, tiny_section, write_project
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression as Oracle
from sklearn.preprocessing import StandardScaler
from torch import nn

from classifier.core.cache import cache_folder
from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.models.bundle import load_bundle
from classifier.processing.idle_knobs import idle_knobs
from classifier.processing.images import center_crop
from classifier.training.logistic import LogisticRegression, Solution, best_strength
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


@pytest.mark.parametrize("strength", [1.0, 0.03, 0.001])
def test_solution_is_the_optimum_that_scikit_learn_finds(strength: float) -> None:
    inputs, targets = features()
    found = LogisticRegression(inputs, targets, 3).solve(strength).logits(inputs).softmax(1)
    standard = StandardScaler().fit_transform(inputs.numpy())
    oracle = Oracle(C=1 / (strength * len(targets)), tol=1e-10, max_iter=10_000)
    expected = oracle.fit(standard, targets.numpy()).predict_proba(standard)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_class_weights_count_as_so_many_images() -> None:
    inputs, targets = features()
    weights = torch.tensor([1.0, 2.0, 1.0])
    twice = torch.cat([inputs, inputs[targets == 1]]), torch.cat([targets, targets[targets == 1]])
    # Not standardised alike, so a weak penalty, which matters little.
    found = LogisticRegression(inputs, targets, 3, weights).solve(1e-4).logits(inputs)
    expected = LogisticRegression(*twice, 3).solve(1e-4).logits(inputs)
    np.testing.assert_allclose(found.softmax(1), expected.softmax(1), atol=0.01)


def test_feature_that_never_varies_has_no_weight() -> None:
    inputs, targets = features()
    solution = LogisticRegression(inputs, targets, 3).solve(0.1)
    assert (solution.weight[:, -1] == 0).all()
    assert solution.weight.isfinite().all()


def test_solution_does_not_depend_on_where_its_search_starts() -> None:
    inputs, targets = features()
    problem = LogisticRegression(inputs, targets, 3)
    rough = problem.solve(1.0, rough=True)
    found, alone = problem.solve(0.01, rough), problem.solve(0.01)
    np.testing.assert_allclose(found.logits(inputs), alone.logits(inputs), atol=1e-3)


@pytest.mark.parametrize("best", [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0])
def test_best_strength_is_found_and_those_beyond_the_next_are_not_tried(best: float) -> None:
    tried = []

    def distance(solution: Solution) -> float:
        tried.append(solution.strength)
        return abs(np.log(solution.strength / best))

    found = best_strength(LogisticRegression(*features(), 3), distance)
    assert found.strength == best
    assert max(tried) <= max(best * 4, 0.03)
    assert min(tried) >= min(best / 4, 0.01)


def project(folder: Path, **changes: object) -> Path:
    write_project(folder, tiny_section(**{"head": "logistic", "model": FROZEN} | changes))
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
    metrics = pd.read_json(tmp_path / "results/train/metrics.json", typ="series")
    assert metrics["val_accuracy"] > 0.6


def test_views_that_features_were_made_of_are_kept_for_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(project(tmp_path, feature_views=["flip"]), monkeypatch)
    dataset, spec = load_dataset(tmp_path / "data/split"), load_bundle(tmp_path / "models").spec
    first = center_crop(dataset.images[dataset.rows("train")[:1]], spec.input_size)
    kept = np.load(tmp_path / "results/train/augmentations.npy")
    np.testing.assert_array_equal(kept, first[:, :, ::-1])


def test_last_row_of_the_history_is_the_optimum_for_the_best_strength(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(project(tmp_path), monkeypatch)
    history = pd.read_csv(tmp_path / "results/train/history.csv")
    metrics = pd.read_json(tmp_path / "results/train/metrics.json", typ="series")
    *tried, last = history.to_dict("records")
    assert last["l2"] == min(tried, key=lambda row: row["val_loss"])["l2"]
    assert len({row["l2"] for row in tried}) == len(tried) > 1
    assert (metrics["l2"], metrics["best_epoch"]) == (last["l2"], len(history))
    assert metrics["val_loss"] == last["val_loss"]


def test_live_files_are_those_of_every_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(project(tmp_path), monkeypatch)
    solved = set(contents(tmp_path / "results/train/live"))
    run_in(project(tmp_path, head="linear"), monkeypatch)
    assert solved == set(contents(tmp_path / "results/train/live"))


def test_checkpoint_of_each_solution_holds_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["runtime"]["checkpoint_epochs"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    run_in(folder, monkeypatch)
    kept = sorted((cache_folder("checkpoints")).glob("*/epoch-*"))
    heads = [load_bundle(path).model.head.state_dict() for path in [*kept, folder / "models"]]
    *rough, optimum, final = [head["1.weight"] for head in heads]
    assert torch.equal(optimum, final)
    assert not any(torch.equal(first, second) for first, second in pairwise([*rough, optimum]))


OTHERS = {
    "seed": 3,
    "epochs": 9,
    "batch_size": 5,
    "grad_accumulation_steps": 2,
    "patience": 1,
    "optimizer": {"name": "sgd", "lr": 0.5, "max_grad_norm": 0.1},
    "lr_scheduler": {"name": "constant"},
    "ema_decay": 0.9,
    "model": {**FROZEN, "head": {"dropout": 0.7}},
    "augment": {"flip": 0.5, "rotation": 90.0},
}


def test_idle_knobs_change_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = tiny_params(head="logistic", model=FROZEN)
    assert {name.partition(".")[0] for name in idle_knobs(params.model_dump())} == {*OTHERS}
    made = []
    for number, changes in enumerate(({}, OTHERS)):
        run_in(project(tmp_path / str(number), **{"model": FROZEN, **changes}), monkeypatch)
        made.append(load_bundle(Path("models")).model.head.state_dict())
    for name, weights in made[0].items():
        assert torch.equal(weights, made[1][name])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": "logistic"}, r"set train\.model\.freeze: backbone"),
        ({"head": "logistic", "model": FROZEN, "sampling": "balanced"}, r"train\.sampling: natur"),
        ({"head": "logistic", "model": FROZEN, "mix": {"mixup": 0.2}}, r"train\.mix\.mixup: 0\.0"),
        (
            {"head": "logistic", "model": FROZEN, "curriculum": {"start": 0.5}},
            r"train\.curriculum\.start: null, or train\.head: linear",
        ),
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
