"""Keep and show the trials of a sweep: Optuna's journal, a table and a chart."""

import secrets
import warnings
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from classifier.core.errors import UserError
from classifier.plotting.agg import Axes, Figure
from classifier.plotting.figures import BLUE, GREY, ORANGE, new_figure
from classifier.sweep.search_space import shown

# Random trials before the search learns from them, and epochs before it prunes.
_FIRST_TRIALS, _FIRST_EPOCHS = 10, 3
# The study's attribute that tells its experiments from those of other sweeps.
_TOKEN = "token"


def journal_of(project: Path, commit: str) -> Path:
    """Return the file of a commit's trials, in the project's own folder for temporary files.

    Experiments belong to a repository, and so do the trials: another clone has its own.
    """
    folder = project / ".dvc/tmp/sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{commit}.journal"


def experiment_name(study: optuna.Study, number: int) -> str:
    """Return a name such as `sweep-4f1c-007`; the middle part tells sweeps apart."""
    return f"sweep-{study.user_attrs[_TOKEN]}-{number:03d}"


def open_study(journal: Path, monitor: str, seed: int = 0) -> optuna.Study:
    """Return the study of this journal, new or with the trials so far.

    TPE proposes the trials (Bergstra et al., "Algorithms for Hyper-Parameter Optimization"). One
    that is worse than the median of the others after the same epoch is pruned.

    Args:
        journal: File of the trials.
        monitor: What is optimised, `val_loss` or `val_accuracy`.
        seed: Of the draws of this process. A process that opens the study later needs another one:
            with the same it would repeat the first draws.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = TPESampler(seed=seed, n_startup_trials=_FIRST_TRIALS, constant_liar=True)
        study = optuna.create_study(
            study_name="sweep",
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=sampler,
            pruner=MedianPruner(n_startup_trials=_FIRST_TRIALS // 2, n_warmup_steps=_FIRST_EPOCHS),
            direction="minimize" if monitor == "val_loss" else "maximize",
            load_if_exists=True,
        )
    if _TOKEN not in study.user_attrs:
        study.set_user_attr(_TOKEN, secrets.token_hex(2))
    return study


def restart_killed_trials(study: optuna.Study) -> None:
    """Enqueue the trials that were in progress when a sweep was killed, so that they come first."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if trial.params:
            study.enqueue_trial(trial.params)
        study.tell(trial.number, state=TrialState.FAIL)


class Sweep:
    """The finished trials of a study whose experiments exist, and the pruned ones.

    experiments: names of the experiments that exist.
    """

    def __init__(self, study: optuna.Study, experiments: set[str]) -> None:
        self._minimize = study.direction == StudyDirection.MINIMIZE
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        self.lost = [trial for trial in finished if _is_lost(trial, experiments)]
        self._kept = [trial for trial in finished if not _is_lost(trial, experiments)]

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the best value; None where there is none yet."""
        complete = [trial for trial in self._kept if trial.state == TrialState.COMPLETE]
        sign = 1 if self._minimize else -1
        return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def check_any_finished(self) -> None:
        """Raise UserError where no trial came to its end, with the reason of the last one."""
        if self.best is None:
            reasons = [trial.user_attrs.get("reason", "") for trial in self._kept]
            raise UserError(
                f"no trial was finished. The last one: {' '.join(reasons[-1:])} Change sweep.yaml "
                "or params.yaml, commit it, and run the same command again."
            )

    def tabulate(self) -> pd.DataFrame:
        """Return a row per trial: trial, state, value, epochs, experiment, and the knobs.

        The value of a pruned trial is that after its last epoch; NaN where it ended before one.
        """
        rows = [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value if trial.value is not None else np.nan,
                "epochs": len(trial.intermediate_values),
                "experiment": trial.user_attrs.get("experiment", ""),
                **{name: shown(value) for name, value in trial.params.items()},
            }
            for trial in self._kept
        ]
        return pd.DataFrame(rows)


def _is_lost(trial: FrozenTrial, experiments: set[str]) -> bool:
    is_complete = trial.state == TrialState.COMPLETE
    return is_complete and trial.user_attrs.get("experiment") not in experiments


def draw(table: pd.DataFrame, scales: dict[str, bool], monitor: str) -> Figure:
    """Draw the value by trial, and by each knob. scales: whether a knob's axis is logarithmic."""
    columns = min(3, 1 + len(scales))
    rows = -(-(1 + len(scales)) // columns)
    figure = new_figure(4 * columns, 3.2 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    finished = table[table["state"] == "complete"]
    best = finished["value"].cummin() if monitor == "val_loss" else finished["value"].cummax()
    grid[0].step(finished["trial"], best, where="post", color=ORANGE, label="best so far")
    for axes, (column, is_log) in zip(grid, [("trial", False), *scales.items()], strict=False):
        _scatter(axes, table, column)
        axes.set_ylabel(monitor)
        if is_log:
            axes.set_xscale("log")
    grid[0].legend()
    for axes in grid[1 + len(scales) :]:
        axes.set_axis_off()
    return figure


def _scatter(axes: Axes, table: pd.DataFrame, column: str) -> None:
    values = table[column]
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    places = values if is_number else values.map(str)
    # Texts get their places in the order of the trials, also those without a value to draw.
    axes.xaxis.update_units(places)
    for state, colour, marker in (("pruned", GREY, "x"), ("complete", BLUE, "o")):
        chosen = (table["state"] == state) & table["value"].notna()
        axes.scatter(
            places[chosen], table["value"][chosen], color=colour, marker=marker, s=18, label=state
        )
    axes.set_xlabel(column.removeprefix("train."))
    axes.grid(alpha=0.3)
