"""Boats after `presets/photos.yaml`, seed after seed: seconds of the stages, and accuracy.

For every split seed: split, backbone, train, evaluate and tta_evaluate with an empty cache folder,
then train again with balanced class weights, from cached features. Of each stage it prints seconds,
and processor seconds, which tell more where other programs run. For the first `--recipes` seeds the
plain recipe (plain_recipe.py) follows in turn, on the same split.

    TORCH_HOME=… python benchmarks/frozen_backbone.py boats.zip --seeds 5 --recipes 1
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from preset_params import preset_params

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipes", type=int, default=0)
    parser.add_argument("--recipe-epochs", type=int, default=30, help="at most")
    options = parser.parse_args()
    archive = options.archive.resolve()
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(Path(folder), archive, seed)), flush=True)
            if seed < options.recipes:
                recipe = [sys.executable, str(ROOT / "benchmarks/plain_recipe.py"), str(archive)]
                recipe += [f"{folder}/data/split", f"--seed={seed}"]
                subprocess.run([*recipe, f"--epochs={options.recipe_epochs}"], check=True)


def measure(project: Path, archive: Path, seed: int) -> dict[str, object]:
    """Seconds and accuracies of one seed, in an empty project folder."""
    params = preset_params("photos")
    params["download"] |= {"source": "archive", "url": str(archive), "watch": str(archive)}
    params["split"]["seed"] = params["train"]["seed"] = seed
    save(project, params)
    run(project, "download")
    row: dict[str, object] = {"seed": seed}
    for stage in ("split", "backbone", "train", "evaluate", "tta_evaluate"):
        row[stage] = run(project, stage)
    row |= read(project, "train", "epochs", "val_accuracy")
    row |= read(project, "evaluate", "accuracy")
    row |= read(project, "tta_evaluate", "tta_accuracy")
    params["train"]["class_weights"] = "balanced"
    save(project, params)
    row["train again"] = run(project, "train")
    return row


def save(project: Path, params: dict[str, object]) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")


def read(project: Path, stage: str, *names: str) -> dict[str, float]:
    metrics = json.loads((project / "results" / stage / "metrics.json").read_text("utf-8"))
    return {name: metrics[name] for name in names}


def run(project: Path, stage: str) -> str:
    """Return seconds and processor seconds of the stage's program, imports included."""
    variables = {"PYTHONPATH": str(ROOT), "CLASSIFIER_CACHE": str(project / "cache")}
    started, before = time.perf_counter(), processor_seconds()
    subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=project,
        env=os.environ | variables,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    return f"{seconds:.1f} s, {processor_seconds() - before:.1f} of a processor"


def processor_seconds() -> float:
    """Return the processor seconds of all programs that this one has started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
