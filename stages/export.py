"""Write the model as deployable files to `models/export`, each compared with the original."""

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # `python stages/export.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.config import load_section
from classifier.core.stage import run_stage
from classifier.core.timing import write_timing
from classifier.export.export_model import export_model
from classifier.export.params import ExportParams
from classifier.export.reference import Reference
from classifier.export.similar_images import choose_similar
from classifier.models.devices import prepare_pytorch
from classifier.models.outside import OUTSIDE_FILE, load_outside
from classifier.models.prediction import load_trained

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/export")


def main() -> None:
    """Run the stage."""
    started = time.perf_counter()
    params = load_section("export", ExportParams)
    prepare_pytorch()
    bundle, dataset = load_trained(MODELS, DATA)
    score = load_outside(MODELS / OUTSIDE_FILE, bundle.digest)
    similar = choose_similar(bundle, dataset, params.similar_images, params.batch_size)
    reference = Reference(bundle, dataset, params.batch_size, score, similar)
    latencies = export_model(reference, params, MODELS, RESULTS)
    write_timing("export", started, **latencies)


if __name__ == "__main__":
    run_stage("export", main)
