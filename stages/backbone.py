"""Write the network's pretrained weights, and where they come from, to data/backbone/."""

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # `python stages/backbone.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.config import load_section
from classifier.core.stage import run_stage
from classifier.core.timing import write_timing
from classifier.models.backbones.backbone_params import BackboneParams
from classifier.models.weights.pretrained import write_backbone

BACKBONE = Path("data/backbone")


def main() -> None:
    """Run the stage."""
    started = time.perf_counter()
    params = load_section("backbone", BackboneParams)
    for line in write_backbone(params, BACKBONE):
        print(f"backbone: {line}")
    write_timing("backbone", started)


if __name__ == "__main__":
    run_stage("backbone", main)
