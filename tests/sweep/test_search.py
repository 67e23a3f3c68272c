"""The sweep as a user runs it: its experiments are what `dvc repro` would make."""

import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
from builders.clones import Clone
from optuna.trial import TrialState

from classifier.core.errors import UserError
from classifier.sweep.experiments import committed_head
from classifier.sweep.study import begin_killed_trials_again, draw, open_study, tabulate

pytestmark = pytest.mark.xdist_group("origin")


@pytest.fixture(scope="module")
def clone(origin: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which a sweep of three trials has run."""
    clone = origin.copied(tmp_path_factory.mktemp("sweep") / "project")
    sweep(clone, trials=3)
    return clone


def sweep(clone: Clone, *, trials: int) -> str:
    options = [f"--trials={trials}", "--workers=2"]
    return clone.run(sys.executable, "-m", "classifier", "sweep", *options)


def experiments(clone: Clone) -> list[str]:
    return clone.dvc("exp", "list", "--name-only").split()


def test_every_finished_trial_is_an_experiment(clone: Clone) -> None:
    table = pd.read_csv(clone.folder / "results/sweep/trials.csv")
    assert list(table["state"]) == ["complete"] * 3
    assert sorted(experiments(clone)) == sorted(table["experiment"])
    assert (clone.folder / "results/sweep/sweep.png").stat().st_size > 10_000
    # The work tree itself is left alone.
    assert clone.run("git", "status", "--porcelain") == ""
    assert list((clone.folder / ".dvc/tmp/sweep").iterdir()) == []


def test_sweep_that_is_run_again_goes_on(clone: Clone) -> None:
    before = set(experiments(clone))
    assert "4 trials" in sweep(clone, trials=4)
    assert len(set(experiments(clone)) - before) == 1


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
    begin_killed_trials_again(study)
    again = study.ask()
    assert again.suggest_float("train.optimizer.lr", 0.001, 1, log=True) == pytest.approx(
        killed.params["train.optimizer.lr"]
    )
    assert study.trials[3].state == TrialState.FAIL


def test_table_and_image_show_finished_and_pruned_trials(tmp_path: Path) -> None:
    table = tabulate(small_study(tmp_path / "journal"))
    assert list(table["state"]) == ["complete", "complete", "pruned"]
    assert list(table["experiment"]) == ["sweep-0", "sweep-1", ""]
    assert table["value"].notna().all()
    figure = draw(table, {"train.optimizer.lr": True, "train.input_size": False}, "val_loss")
    assert [axes.get_xlabel() for axes in figure.axes] == ["trial", "optimizer.lr", "input_size"]
    assert figure.axes[1].get_xscale() == "log"
