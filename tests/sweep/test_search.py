"""The sweep as a user runs it: its experiments are what `dvc repro` would make."""

import os
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
from builders.clones import Clone
from optuna.trial import TrialState

from classifier.core.errors import UserError
from classifier.sweep.experiments import committed_head, experiment_names, experiment_refs
from classifier.sweep.study import (
    Sweep,
    draw,
    experiment_name,
    journal_of,
    open_study,
    restart_killed_trials,
)

TRIALS, RATE = "results/sweep/trials.csv", "train.optimizer.lr"

pytestmark = pytest.mark.xdist_group("origin")


@pytest.fixture(scope="module")
def clone(origin: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which a sweep of two trials has run."""
    clone = origin.copied(tmp_path_factory.mktemp("sweep") / "project")
    said = sweep(clone, trials=2, workers=2)
    assert ("note: each of 2 workers" in said) == ("OMP_NUM_THREADS" not in os.environ)
    return clone


def sweep(clone: Clone, *, trials: int, workers: int) -> str:
    options = [f"--trials={trials}", f"--workers={workers}"]
    return clone.run(sys.executable, "-m", "classifier", "sweep", *options)


def experiments(clone: Clone) -> list[str]:
    return clone.dvc("exp", "list", "--name-only").split()


def test_every_finished_trial_is_an_experiment(clone: Clone) -> None:
    table = pd.read_csv(clone.folder / TRIALS)
    assert list(table["state"]) == ["complete"] * 2
    assert sorted(experiments(clone)) == sorted(table["experiment"])
    assert (clone.folder / "results/sweep/sweep.png").stat().st_size > 10_000
    # The work tree itself is left alone.
    assert clone.run("git", "status", "--porcelain") == ""
    assert list((clone.folder / ".dvc/tmp/sweep").iterdir()) == []


def test_sweep_that_is_run_again_goes_on_without_the_experiments_that_were_removed(
    clone: Clone,
) -> None:
    before = set(experiments(clone))
    # The best, which the first call offered.
    removed = pd.read_csv(clone.folder / TRIALS).sort_values("value")["experiment"].iloc[0]
    clone.dvc("exp", "remove", removed)
    said = sweep(clone, trials=2, workers=1)
    assert "1 trial not counted, since the experiments were removed." in said
    assert "2 trials" in said
    assert f"dvc exp apply {removed}" not in said
    after = set(experiments(clone))
    assert len(before & after) == len(after - before) == 1
    table = pd.read_csv(clone.folder / TRIALS)
    assert sorted(table["experiment"]) == sorted(after)
    # What it draws is new.
    assert table[RATE].is_unique


def test_another_clone_begins_a_sweep_of_its_own(clone: Clone, tmp_path: Path) -> None:
    other = clone.cloned(tmp_path / "other", clone.cache)
    head = committed_head(clone.folder)
    assert committed_head(other.folder) == head
    assert journal_of(clone.folder, head).exists()
    assert not journal_of(other.folder, head).exists()
    assert experiment_names(other.folder, head) == set()


def test_dvc_keeps_experiments_where_the_sweep_looks_for_them(clone: Clone) -> None:
    # Seen with DVC 3.67.
    head = committed_head(clone.folder)
    assert experiment_names(clone.folder, head) == set(experiments(clone))
    assert clone.run("git", "for-each-ref", experiment_refs(head)).count("\n") == len(
        experiments(clone)
    )


def test_seconds_of_a_run_do_not_keep_a_sweep_from_starting(clone: Clone) -> None:
    assert clone.run("git", "ls-files", "results/**/timing.json") == ""
    timing = clone.folder / "results/train/timing.json"
    before = timing.read_bytes() if timing.exists() else None
    timing.write_text('{"seconds": 1.5}')
    assert committed_head(clone.folder)
    timing.unlink() if before is None else timing.write_bytes(before)


def test_experiment_is_what_repro_makes(clone: Clone) -> None:
    name = min(experiments(clone))
    clone.dvc("exp", "apply", name)
    assert "Running stage" not in clone.dvc("repro", "train")
    model = (clone.folder / "models/model.safetensors").read_bytes()
    history = (clone.folder / "results/train/history.csv").read_bytes()
    clone.dvc("repro", "--force", "--single-item", "--no-run-cache", "train")
    assert (clone.folder / "models/model.safetensors").read_bytes() == model
    assert (clone.folder / "results/train/history.csv").read_bytes() == history
    clone.run("git", "checkout", "--quiet", ".")


def test_sweep_starts_from_a_commit(clone: Clone) -> None:
    readme = clone.folder / "README.md"
    text = readme.read_bytes()
    readme.write_bytes(text + b"more")
    with pytest.raises(UserError, match=r"not committed \(README\.md\): commit them first"):
        committed_head(clone.folder)
    readme.write_bytes(text)
    head = clone.run("git", "rev-parse", "HEAD").strip()
    assert committed_head(clone.folder) == head


def small_study(journal: Path) -> optuna.Study:
    """Two finished trials, a pruned one, and one that was under way when it was killed."""
    study = open_study(journal, "val_loss")
    for number in range(4):
        trial = study.ask()
        rate = trial.suggest_float("train.optimizer.lr", 0.001, 1, log=True)
        trial.suggest_categorical("train.input_size", [None, 8])
        trial.report(rate, 1)
        if number < 2:
            trial.set_user_attr("experiment", f"sweep-{number}")
            study.tell(trial, rate)
        elif number == 2:
            study.tell(trial, state=TrialState.PRUNED)
    return study


def test_killed_trial_is_begun_again_first(tmp_path: Path) -> None:
    study = small_study(tmp_path / "journal")
    killed = study.trials[3]
    study = open_study(tmp_path / "journal", "val_loss")
    restart_killed_trials(study)
    again = study.ask()
    assert again.suggest_float("train.optimizer.lr", 0.001, 1, log=True) == pytest.approx(
        killed.params["train.optimizer.lr"]
    )
    assert study.trials[3].state == TrialState.FAIL


def first_draws(journal: Path, seed: int) -> list[float]:
    study = open_study(journal, "val_loss", seed)
    draws = []
    for _ in range(3):
        trial = study.ask()
        draws.append(trial.suggest_float(RATE, 0.001, 1, log=True))
        study.tell(trial, draws[-1])
    return draws


def test_continued_study_repeats_its_draws_only_with_the_same_seed(tmp_path: Path) -> None:
    first = first_draws(tmp_path / "journal", 1)
    assert first_draws(tmp_path / "journal", 1) == first
    assert not set(first_draws(tmp_path / "journal", 2)) & set(first)


def test_sweeps_of_two_clones_give_their_experiments_other_names(tmp_path: Path) -> None:
    names = {
        experiment_name(open_study(tmp_path / f"{number}", "val_loss"), 3) for number in range(5)
    }
    assert len(names) > 1
    study = open_study(tmp_path / "0", "val_loss")
    assert experiment_name(study, 3) in names


def test_best_trial_is_one_whose_experiment_exists(tmp_path: Path) -> None:
    study = small_study(tmp_path / "journal")
    values = [trial.value or 0.0 for trial in study.trials[:2]]
    both, none = Sweep(study, {"sweep-0", "sweep-1"}), Sweep(study, set())
    assert both.best is not None
    assert both.best.value == min(values)
    assert (both.lost, none.best) == ([], None)
    assert [trial.number for trial in none.lost] == [0, 1]
    assert list(none.tabulate()["state"]) == ["pruned"]


def test_sweep_whose_trials_are_all_refused_ends_with_the_reason(tmp_path: Path) -> None:
    Sweep(small_study(tmp_path / "finished"), {"sweep-0", "sweep-1"}).check_any_finished()
    study = open_study(tmp_path / "journal", "val_loss")
    trial = study.ask()
    trial.set_user_attr("reason", "train.epochs is 1.9: input should be a valid integer.")
    study.tell(trial, state=TrialState.PRUNED)
    with pytest.raises(UserError, match=r"no trial was finished.* train\.epochs is 1\.9"):
        Sweep(study, set()).check_any_finished()


def test_table_and_image_show_finished_and_pruned_trials(tmp_path: Path) -> None:
    table = Sweep(small_study(tmp_path / "journal"), {"sweep-0", "sweep-1"}).tabulate()
    assert list(table["state"]) == ["complete", "complete", "pruned"]
    assert list(table["experiment"]) == ["sweep-0", "sweep-1", ""]
    assert table["value"].notna().all()
    figure = draw(table, {"train.optimizer.lr": True, "train.input_size": False}, "val_loss")
    assert [axes.get_xlabel() for axes in figure.axes] == ["trial", "optimizer.lr", "input_size"]
    assert figure.axes[1].get_xscale() == "log"
