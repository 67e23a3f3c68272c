"""What each stage of the pipeline costs, from an empty cache folder on, and a second training.

Prints for every stage the seconds on the clock and those of the processor (all of its threads and
processes), imports included. The latter change little where other programs run beside. `--repro`
runs `dvc repro` in a clone of the last commit instead, and prints what the whole takes.

    python benchmarks/pipeline.py                                  # the digits
    python benchmarks/pipeline.py --archive boats.zip --preset photos
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from preset_params import preset_params

ROOT = Path(__file__).parents[1]
STAGES = ("download", "split", "backbone", "train", "evaluate", "tta_evaluate", "export", "report")


class Cost(NamedTuple):
    """Seconds on the clock, and of the processor."""

    wall: float
    processor: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--archive", type=Path, help="images; without, those of the preset")
    parser.add_argument("--repro", action="store_true")
    parser.add_argument("--keep", type=Path, help="an empty folder for the project, which stays")
    options = parser.parse_args()
    params = preset_params(options.preset)
    if options.archive is not None:
        archive = str(options.archive.resolve())
        params["download"] |= {"source": "archive", "url": archive, "watch": archive}
    with tempfile.TemporaryDirectory() as folder:
        project = (options.keep or Path(folder)).resolve()
        if options.repro:
            print_cost("dvc repro", repro(project, params))
        else:
            print_stages(project, params)


def print_stages(project: Path, params: dict[str, Any]) -> None:
    """Run all stages, then the training with another seed on the same split."""
    save(project, params)
    print("| stage | seconds | of the processor |\n| --- | --- | --- |")
    costs = []
    for stage in STAGES:
        costs.append(run(project, sys.executable, "-m", f"stages.{stage}"))
        print_cost(stage, costs[-1])
    print_cost("all stages", Cost(*map(sum, zip(*costs, strict=True))))
    params["train"]["seed"] += 1
    save(project, params)
    print_cost("train again", run(project, sys.executable, "-m", "stages.train"))


def repro(project: Path, params: dict[str, Any]) -> Cost:
    """Clone the project, without results of earlier runs in DVC's cache, and run `dvc repro`."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    save(project, params)
    return run(project, sys.executable, "-m", "dvc", "repro")


def save(project: Path, params: dict[str, Any]) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")


def run(project: Path, *command: str) -> Cost:
    variables = {"PYTHONPATH": str(ROOT), "CLASSIFIER_CACHE": str(project / "cache")}
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with (project / "output.txt").open("ab") as output:
        subprocess.run(command, cwd=project, env=os.environ | variables, check=True, stdout=output)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - started, spent)


def print_cost(name: str, cost: Cost) -> None:
    print(f"| {name} | {cost.wall:.1f} | {cost.processor:.1f} |", flush=True)


if __name__ == "__main__":
    main()
