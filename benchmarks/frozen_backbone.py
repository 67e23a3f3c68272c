"""Boats with a frozen MobileNetV2 after `presets/photos.yaml`, seed after seed.

For every split seed: split, train, evaluate and tta_evaluate with an empty cache folder, then train
again with another learning rate of the head, from cached features. For the first `--recipes` seeds
the plain recipe (plain_recipe.py) follows in turn, on the same split.

    TORCH_HOME=… python benchmarks/frozen_backbone.py boats.zip --seeds 5 --recipes 1
"""

import argparse
import json
import os
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
    options = parser.parse_args()
    archive = options.archive.resolve()
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(Path(folder), archive, seed)), flush=True)
            if seed < options.recipes:
                recipe = [sys.executable, str(ROOT / "benchmarks/plain_recipe.py"), str(archive)]
                subprocess.run([*recipe, f"{folder}/data/split", f"--seed={seed}"], check=True)


def measure(project: Path, archive: Path, seed: int) -> dict[str, object]:
    """Seconds and accuracies of one seed, in an empty project folder."""
    params = preset_params("photos")
    params["download"] |= {"source": "archive", "url": str(archive), "watch": str(archive)}
    params["split"]["seed"] = params["train"]["seed"] = seed
    save(project, params)
    run(project, "download")
    row: dict[str, object] = {"seed": seed}
    for stage in ("split", "train", "evaluate", "tta_evaluate"):
        row[f"{stage}_seconds"] = run(project, stage)
    row |= read(project, "train", "epochs", "val_accuracy")
    row |= read(project, "evaluate", "accuracy")
    row |= read(project, "tta_evaluate", "tta_accuracy")
    params["train"]["optimizer"]["lr"] *= 2
    save(project, params)
    row["second_train_seconds"] = run(project, "train")
    return row


def save(project: Path, params: dict[str, object]) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")


def read(project: Path, stage: str, *names: str) -> dict[str, float]:
    metrics = json.loads((project / "results" / stage / "metrics.json").read_text("utf-8"))
    return {name: metrics[name] for name in names}


def run(project: Path, stage: str) -> float:
    """Seconds that the stage's program took, imports included."""
    variables = {"PYTHONPATH": str(ROOT), "CLASSIFIER_CACHE": str(project / "cache")}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=project,
        env=os.environ | variables,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return round(time.perf_counter() - started, 2)


if __name__ == "__main__":
    main()
