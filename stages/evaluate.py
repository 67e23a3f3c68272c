"""Evaluate the trained model on the test split."""

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # `python stages/evaluate.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.config import load_section
from classifier.core.stage import run_stage
from classifier.core.timing import write_timing
from classifier.evaluation.evaluate import evaluate
from classifier.evaluation.params import EvaluateParams
from classifier.models.devices import choose_device, prepare_pytorch
from classifier.models.prediction import load_trained
from classifier.models.weights.stored_backbone import read_head

DATA, BACKBONE = Path("data/split"), Path("data/backbone")
MODELS, RESULTS = Path("models"), Path("results/evaluate")


def main() -> None:
    """Run the stage."""
    started = time.perf_counter()
    params = load_section("evaluate", EvaluateParams)
    prepare_pytorch()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    head = read_head(BACKBONE, bundle.spec.backbone) if bundle.model.backbone_is_frozen else None
    evaluation = evaluate(bundle, dataset, params, RESULTS, MODELS, head)
    write_timing("evaluate", started, images_per_second=round(evaluation.images_per_second, 1))
    print("\n".join(evaluation.lines()))


if __name__ == "__main__":
    run_stage("evaluate", main)
