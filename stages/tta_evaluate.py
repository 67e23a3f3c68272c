"""Evaluate the model on the test split with test-time augmentation."""

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # `python stages/tta_evaluate.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.config import load_section
from classifier.core.files import write_json
from classifier.core.stage import run_stage
from classifier.core.timing import write_timing
from classifier.evaluation.params import TtaParams
from classifier.evaluation.tta import describe_tta, evaluate_tta, measure_latency, tta_policy
from classifier.models.devices import choose_device, prepare_pytorch
from classifier.models.prediction import load_trained
from classifier.processing.decision import TTA_POLICY

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/tta_evaluate")


def main() -> None:
    """Run the stage."""
    started = time.perf_counter()
    params = load_section("tta_evaluate", TtaParams)
    prepare_pytorch()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    evaluation = evaluate_tta(bundle, dataset, params, RESULTS)
    policy = tta_policy(evaluation.views, params, bundle.digest)
    write_json(MODELS / TTA_POLICY, policy.model_dump())
    latency = measure_latency(bundle, evaluation, params.batch_size)
    speed = round(evaluation.images_per_second, 1)
    write_timing("tta_evaluate", started, images_per_second=speed, **latency)
    print("\n".join(describe_tta(evaluation, policy, latency)))


if __name__ == "__main__":
    run_stage("tta_evaluate", main)
