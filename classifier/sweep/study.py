"""What a sweep has found so far: Optuna's journal in the cache folder, a table and an image."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from classifier.core.cache import cache_folder
from classifier.plotting.agg import Axes, Figure
from classifier.plotting.figures import BLUE, GREY, ORANGE, new_figure
from classifier.sweep.search_space import rounded

# Trials drawn by chance before the search begins to learn from them, and epochs before it prunes.
_FIRST_TRIALS, _FIRST_EPOCHS = 10, 3


def journal_of(commit: str) -> Path:
    """Where the sweep of a commit keeps its trials."""
    return cache_folder("sweeps") / f"{commit}.journal"


def experiment_name(journal: Path, number: int) -> str:
    """Such as `sweep-4f1c-007`; the middle part tells the sweeps of two commits apart."""
    return f"sweep-{hashlib.sha256(journal.stem.encode()).hexdigest()[:4]}-{number:03d}"


def open_study(journal: Path, monitor: str, seed: int = 0) -> optuna.Study:
    """The study of this journal, begun or gone on with.

    TPE proposes the trials (Bergstra et al., "Algorithms for Hyper-Parameter Optimization"); one
    that is worse than the median of the others after the same epoch is pruned.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = TPESampler(seed=seed, n_startup_trials=_FIRST_TRIALS, constant_liar=True)
        return optuna.create_study(
            study_name="sweep",
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=sampler,
            pruner=MedianPruner(n_startup_trials=_FIRST_TRIALS // 2, n_warmup_steps=_FIRST_EPOCHS),
            direction="minimize" if monitor == "val_loss" else "maximize",
            load_if_exists=True,
        )


def begin_killed_trials_again(study: optuna.Study) -> None:
    """Give back what was under way when a sweep was killed, so that it is tried first."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if trial.params:
            study.enqueue_trial(trial.params)
        study.tell(trial.number, state=TrialState.FAIL)


def tabulate(study: optuna.Study) -> pd.DataFrame:
    """A row for each finished trial: `trial, state, value, epochs, experiment`, the knobs.

    value: of a pruned trial that after its last epoch.
    """
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value if trial.value is not None else np.nan,
            "epochs": len(trial.intermediate_values),
            "experiment": trial.user_attrs.get("experiment", ""),
            **{name: rounded(value) for name, value in trial.params.items()},
        }
        for trial in study.get_trials(deepcopy=False, states=states)
    ]
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, knobs: dict[str, bool], monitor: str) -> Figure:
    """The value by trial, and by each knob; knobs: by name, whether on a logarithmic scale."""
    columns = min(3, 1 + len(knobs))
    rows = -(-(1 + len(knobs)) // columns)
    figure = new_figure(4 * columns, 3.2 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    finished = table[table["state"] == "complete"]
    best = finished["value"].cummin() if monitor == "val_loss" else finished["value"].cummax()
    grid[0].step(finished["trial"], best, where="post", color=ORANGE, label="best so far")
    for axes, (column, is_log) in zip(grid, [("trial", False), *knobs.items()], strict=False):
        _scatter(axes, table, column)
        axes.set_ylabel(monitor)
        if is_log:
            axes.set_xscale("log")
    grid[0].legend()
    for axes in grid[1 + len(knobs) :]:
        axes.set_axis_off()
    return figure


def _scatter(axes: Axes, table: pd.DataFrame, column: str) -> None:
    values = table[column]
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    places = values if is_number else values.map(str)
    for state, colour, marker in (("pruned", GREY, "x"), ("complete", BLUE, "o")):
        chosen = table["state"] == state
        axes.scatter(
            places[chosen], table["value"][chosen], color=colour, marker=marker, s=18, label=state
        )
    axes.set_xlabel(column.removeprefix("train."))
    axes.grid(alpha=0.3)
