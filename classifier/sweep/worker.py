"""Run trials of a sweep in a copy of the project; the program that `sweep.search` starts.

`python -m classifier.sweep.worker JOURNAL TRIALS SEED`
"""

import io
import shutil
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from optuna import Study, Trial, TrialPruned
from optuna.trial import TrialState

from classifier.core.cache import locked
from classifier.core.config import STAGES, load_section
from classifier.core.errors import StoppedError, UserError
from classifier.core.params_edit import edit_params
from classifier.core.processes import run_program
from classifier.models.devices import choose_device, prepare_pytorch
from classifier.sweep.experiments import save_experiment
from classifier.sweep.search_space import read_space, suggest
from classifier.sweep.study import experiment_name, open_study
from classifier.training.distributed import ProcessGroup
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.run import train
from classifier.training.state import TrainState

PARAMS, SPACE = Path("params.yaml"), Path("sweep.yaml")


def main() -> None:
    """Run trials until the journal has enough of them."""
    journal, trials, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    prepare_pytorch(load_section("runtime", RuntimeParams).deterministic)
    device = choose_device()
    space, before = read_space(SPACE), PARAMS.read_text("utf-8")
    monitor = load_section("train", TrainParams).monitor
    study = open_study(journal, monitor, seed=seed)
    for stage in STAGES[STAGES.index("train") + 1 :]:
        # Results of later stages belong to another model.
        shutil.rmtree(Path("results") / stage, ignore_errors=True)
    while (trial := next_trial(study, trials, journal)) is not None:
        try:
            PARAMS.write_text(edit_params(before, suggest(trial, space)), "utf-8")
            value = run_trial(trial, monitor, device)
        except TrialPruned as reason:
            study.tell(trial, state=TrialState.PRUNED)
            print(f"trial {trial.number}: pruned {reason}", flush=True)
            continue
        name = experiment_name(study, trial.number)
        save_experiment(Path(), name, "train")
        trial.set_user_attr("experiment", name)
        study.tell(trial, value)
        print(f"trial {trial.number}: {monitor} {value:.4f}, experiment {name}", flush=True)


def next_trial(study: Study, trials: int, journal: Path) -> Trial | None:
    """Return a new trial, or None where this many are finished or in progress."""
    with locked(journal.with_suffix(".ask")):
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        if len(study.get_trials(deepcopy=False, states=states)) >= trials:
            return None
        return study.ask()


def run_trial(trial: Trial, monitor: str, device: torch.device) -> float:
    """Train with the current params.yaml; return the monitored value of the best epoch.

    Raises:
        TrialPruned: Other trials were better after the same epoch, or training failed.
    """
    found: list[float] = []
    reported = 0

    def watch(state: TrainState) -> None:
        nonlocal reported
        history = state.progress.history
        found[:] = [state.progress.best[monitor]]
        # A resumed run comes with the epochs before it was killed.
        for row in history[reported:]:
            trial.report(row[monitor], int(row["epoch"]))
        reported = len(history)
        if trial.should_prune():
            state.checkpoints.clear()
            raise TrialPruned(f"after epoch {reported}")

    try:
        params = load_section("train", TrainParams)
        runtime = load_section("runtime", RuntimeParams)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            train(params, runtime, device, ProcessGroup(), time.perf_counter(), watch)
    except StoppedError:
        raise
    except UserError as error:
        trial.set_user_attr("reason", str(error))
        raise TrialPruned(str(error)) from error
    return found[0]


if __name__ == "__main__":
    run_program(main, ends_with_parent=True)
