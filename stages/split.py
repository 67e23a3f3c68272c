"""Decode the images of data/raw/ once, and assign them to train, val and test, in data/split/."""

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # `python stages/split.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.config import load_section
from classifier.core.stage import run_stage
from classifier.core.timing import write_timing
from classifier.data.dataset import load_dataset
from classifier.sources.corrections import read_corrections
from classifier.splitting.data_checks import describe_warnings
from classifier.splitting.files_account import write_account
from classifier.splitting.params import SplitParams
from classifier.splitting.results import describe_split, write_results
from classifier.splitting.split import split

RAW, DATA, RESULTS = Path("data/raw"), Path("data/split"), Path("results/split")
CORRECTIONS = Path("data/corrections.csv")


def main() -> None:
    """Run the stage."""
    started = time.perf_counter()
    params = load_section("split", SplitParams)
    result = split(RAW, DATA, params, read_corrections(CORRECTIONS))
    dataset = load_dataset(DATA)
    checks = write_results(RESULTS, dataset, result, params.checks)
    print(f"split: {write_account(RESULTS / 'files.csv', RAW, dataset, result)}")
    for line in describe_split(dataset, result, params):
        print(f"split: {line}")
    write_timing("split", started)
    for line in describe_warnings(checks, params.checks):
        print(f"split: warning: {line}")


if __name__ == "__main__":
    run_stage("split", main)
