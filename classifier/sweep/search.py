"""Program: look for good values of the knobs in sweep.yaml; every finished trial is an experiment.

    classifier sweep --trials 50

Trains with other values of section `train` again and again, on copies of the last commit, and keeps
each finished trial as a DVC experiment of that commit, of the train stage alone: the same as
`dvc repro train` makes. `dvc exp run` would start two programs for each trial, whose imports take
longer than a head learns on cached features, so here a few workers train trial after trial, and
`dvc exp save` keeps what they made. The validation split decides; nothing looks at the test split.
TrainState again, it goes on with the sweep of the commit. Needs the extra `sweep`.
"""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from optuna import Study
from optuna.trial import TrialState

from classifier.core.cache import locked
from classifier.core.config import load_section
from classifier.core.errors import StoppedError, UserError
from classifier.core.files import write_csv
from classifier.plotting.figures import write_png
from classifier.sweep.experiments import committed_head, copy_project
from classifier.sweep.search_space import Range, read_space, rounded
from classifier.sweep.study import begin_killed_trials_again, draw, journal_of, open_study, tabulate
from classifier.training.params import TrainParams

SPACE, RESULTS, COPIES = Path("sweep.yaml"), Path("results/sweep"), Path(".dvc/tmp/sweep")


def main(trials: int, workers: int) -> None:
    space = read_space(SPACE)
    knobs = {name: isinstance(of, Range) and of.log for name, of in space.items()}
    monitor = load_section("train", TrainParams).monitor
    journal = journal_of(committed_head(Path()))
    with locked(journal.with_suffix(".lock")):
        study = open_study(journal, monitor)
        begin_killed_trials_again(study)
        try:
            run_workers(journal, trials, workers)
        finally:
            report(study, knobs, monitor)


def run_workers(journal: Path, trials: int, count: int) -> None:
    """Start `count` workers, each in a copy of the project, and wait for them.

    Raises UserError where one of them fails.
    """
    threads = str(max(1, (os.cpu_count() or 1) // count))
    environment = {"OMP_NUM_THREADS": threads} | os.environ
    # TrainState in its copy, a worker has to find the copy's library.
    environment.pop("PYTHONPATH", None)
    with ExitStack() as stack:
        workers: list[subprocess.Popen[bytes]] = []
        for number in range(count):
            copy = COPIES / str(number)
            copy_project(Path().resolve(), copy.resolve())
            command = [sys.executable, "-m", "classifier.sweep.worker"]
            arguments = [str(journal), str(trials), str(number)]
            worker = subprocess.Popen([*command, *arguments], cwd=copy, env=environment)
            stack.callback(shutil.rmtree, copy, ignore_errors=True)
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
            workers.append(worker)
        failed = [worker.wait() for worker in workers]
    if any(status < 0 for status in failed):
        raise StoppedError("A worker was killed: run the same command again to go on.")
    if any(failed):
        raise UserError("A worker failed and has said why; run the same command again to go on.")


def report(study: Study, knobs: dict[str, bool], monitor: str) -> None:
    """Write the table and the image of the trials so far, and say which is the best."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return
    table = tabulate(study)
    write_csv(RESULTS / "trials.csv", table)
    write_png(draw(table, knobs, monitor), RESULTS / "sweep.png")
    best = study.best_trial
    chosen = ", ".join(f"{name} {rounded(value)}" for name, value in best.params.items())
    pruned = int((table["state"] == "pruned").sum())
    print(
        f"{len(table)} trials, {pruned} of them pruned; the best: {monitor} {best.value:.4f} with "
        f"{chosen} ({RESULTS}/sweep.png). To take it over: "
        f"dvc exp apply {best.user_attrs['experiment']} && dvc repro"
    )
