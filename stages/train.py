"""Train the classifier on data/split; write the bundle to models/ and its history to results/."""

import sys
from pathlib import Path

if __name__ == "__main__":  # `python stages/train.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.config import load_section
from classifier.core.stage import run_stage
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.run import run_training


def main() -> None:
    """Train with sections `train` and `runtime` of params.yaml."""
    params = load_section("train", TrainParams)
    runtime = load_section("runtime", RuntimeParams)
    run_training(params, runtime, program="stages.train")


if __name__ == "__main__":
    run_stage("train", main)
