"""Search good values of the knobs in sweep.yaml; every finished trial becomes a DVC experiment.

A sweep trains with other values of section `train` again and again, on copies of the last commit,
and saves each finished trial as a DVC experiment of that commit, of the train stage alone: the same
as `dvc repro train` makes with as many threads. `dvc exp run` would start two programs for each
trial, whose imports take longer than a head learns on cached features, so here a few workers train
trial after trial, and `dvc exp save` keeps what they made. The validation split decides; nothing
looks at the test split. A second call continues the sweep of the commit. Needs the extra `sweep`.
"""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from optuna.trial import TrialState

from classifier.core.cache import locked
from classifier.core.config import load_section
from classifier.core.errors import StoppedError, UserError
from classifier.core.files import write_csv
from classifier.core.processes import available_cores
from classifier.core.random import stream_seed
from classifier.core.text import counted
from classifier.plotting.figures import write_png
from classifier.sweep.experiments import committed_head, copy_project, experiment_names
from classifier.sweep.search_space import Range, check_effect, read_space, shown
from classifier.sweep.study import (
    Sweep,
    draw,
    journal_of,
    open_study,
    restart_killed_trials,
)
from classifier.training.params import TrainParams

SPACE, RESULTS, COPIES = Path("sweep.yaml"), Path("results/sweep"), Path(".dvc/tmp/sweep")


def run_sweep(trials: int, workers: int) -> None:
    """Run or continue the sweep of the last commit, in the current folder.

    Args:
        trials: Number of trials in all, those of earlier calls included.
        workers: Number of trials at a time.

    Raises:
        UserError: Files are not committed, sweep.yaml is wrong, a worker failed, or every trial
            was pruned, since its params are refused.
    """
    project = Path().resolve()
    space = read_space(SPACE)
    scales = {name: isinstance(of, Range) and of.log for name, of in space.items()}
    params = load_section("train", TrainParams)
    check_effect(space, params)
    commit = committed_head(project)
    journal = journal_of(project, commit)
    with locked(journal.with_suffix(".lock")):
        study = open_study(journal, params.monitor)
        restart_killed_trials(study)
        lost = Sweep(study, experiment_names(project, commit)).lost
        if lost:
            print(f"{counted(len(lost), 'trial')} not counted, since the experiments were removed.")
        done = len(study.get_trials(deepcopy=False))
        seeds = [stream_seed("sweep", params.seed, number, done) for number in range(workers)]
        try:
            _run_workers(project, journal, trials + len(lost), seeds)
        finally:
            sweep = Sweep(study, experiment_names(project, commit))
            _report(sweep, scales, params.monitor)
        sweep.check_any_finished()


def _run_workers(project: Path, journal: Path, trials: int, seeds: list[int]) -> None:
    """Start a worker for each seed, in a copy of the project each, and wait for them.

    Raises:
        UserError: One of them failed.
    """
    threads = str(max(1, available_cores() // len(seeds)))
    if len(seeds) > 1 and "OMP_NUM_THREADS" not in os.environ:
        print(
            f"note: each of {len(seeds)} workers computes with OMP_NUM_THREADS={threads}; without "
            "it, `dvc repro` gives models that differ in their last bits, or more after long "
            "training. --workers 1 gives the same."
        )
    environment = {"OMP_NUM_THREADS": threads} | os.environ
    # A worker has to import the library of its copy.
    environment.pop("PYTHONPATH", None)
    with ExitStack() as stack:
        workers: list[subprocess.Popen[bytes]] = []
        for number, seed in enumerate(seeds):
            copy = COPIES / str(number)
            copy_project(project, copy.resolve())
            command = [sys.executable, "-m", "classifier.sweep.worker"]
            arguments = [str(journal), str(trials), str(seed)]
            # In a session of its own, so that Ctrl-C reaches this process, which ends the workers.
            worker = subprocess.Popen(
                [*command, *arguments], cwd=copy, env=environment, start_new_session=True
            )
            stack.callback(shutil.rmtree, copy, ignore_errors=True)
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
            workers.append(worker)
        failed = [worker.wait() for worker in workers]
    if any(status < 0 for status in failed):
        raise StoppedError("A worker was killed: run the same command again to continue.")
    if any(failed):
        raise UserError("A worker failed, and said why; run the same command again to continue.")


def _report(sweep: Sweep, scales: dict[str, bool], monitor: str) -> None:
    """Write the table and the chart of the trials so far, and print the best one."""
    best = sweep.best
    if best is None:
        return
    table = sweep.tabulate()
    write_csv(RESULTS / "trials.csv", table)
    write_png(draw(table, scales, monitor), RESULTS / "sweep.png")
    chosen = ", ".join(f"{name} {shown(value)}" for name, value in best.params.items())
    pruned = int((table["state"] == TrialState.PRUNED.name.lower()).sum())
    print(
        f"{counted(len(table), 'trial')}, {pruned} of them pruned; the best: {monitor} "
        f"{best.value:.4f} with {chosen} ({RESULTS}/sweep.png). To use it: "
        f"dvc exp apply {best.user_attrs['experiment']} && dvc repro"
    )
