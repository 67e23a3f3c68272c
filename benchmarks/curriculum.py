"""Curriculum learning against shuffled training, where it is said to help.

    python benchmarks/curriculum.py

Needs data/raw, data/split and data/backbone of the default run (`make repro`). Each case trains
with the losses of three-fold cross-validation of the same (noisy, or few) training images, from
five seeds, in a temporary folder, and prints mean, lowest and highest test accuracy. Labels of the
test split are never changed, and its images are no part of the cross-validation.
"""

import argparse
import shutil
import tempfile
import time
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from classifier.core.config import load_section
from classifier.models.devices import choose_device, prepare_pytorch
from classifier.models.prediction import load_trained, predict_split
from classifier.sweep.cross_validation import cross_validate
from classifier.training.curriculum import write_losses
from classifier.training.distributed import ProcessGroup
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.run import train

ROOT = Path(__file__).resolve().parents[1]
DATA = Path("data/split")
# Name: share of wrong labels, training images kept of each class, epochs (None: as in params.yaml).
CASES: dict[str, tuple[float, int | None, int | None]] = {
    "as it is": (0.0, None, None),
    "40% wrong labels": (0.4, None, None),
    "40% wrong labels, 3 times the epochs": (0.4, None, 3),
    "10 images a class": (0.0, 10, None),
    "10 images a class, 3 times the epochs": (0.0, 10, 3),
}
STARTS = [None, 0.1, 0.3]
SEEDS = 5


def main() -> None:
    argparse.ArgumentParser(description=__doc__, allow_abbrev=False).parse_args()
    prepare_pytorch()
    for name, (wrong, kept, longer) in CASES.items():
        scores: dict[float | None, list[float]] = {start: [] for start in STARTS}
        for seed in range(SEEDS):
            table = _changed(wrong, kept, seed)
            training = table["split"].eq("train")
            with tempfile.TemporaryDirectory() as folder, chdir(folder):
                _write_data(table, training)
                _write_params(longer, seed, None)
                with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                    known = cross_validate(3)
            with tempfile.TemporaryDirectory() as folder, chdir(folder):
                _write_data(table, table["split"].ne("unused"))
                images = known.answers.dataset.manifest.iloc[known.answers.rows]
                write_losses(Path("data/losses.csv"), images, known.losses())
                for start in STARTS:
                    _write_params(longer, seed, start)
                    scores[start].append(_accuracy())
        for start, values in scores.items():
            row = f"{name},{start},{np.mean(values):.4f},{min(values):.4f},{max(values):.4f}"
            print(row, flush=True)


def _changed(wrong: float, kept: int | None, seed: int) -> pd.DataFrame:
    """Return the manifest with wrong labels in training and validation, and few training images."""
    draws = np.random.default_rng(seed)
    table = pd.read_csv(ROOT / DATA / "manifest.csv", keep_default_na=False)
    classes = sorted(table["class"].unique())
    noisy = table["split"].ne("test") & (draws.random(len(table)) < wrong)
    table.loc[noisy, "label"] = (table["label"] + draws.integers(1, 10, len(table))) % 10
    table["class"] = [classes[label] for label in table["label"]]
    if kept is not None:
        training = table[table["split"] == "train"].sample(frac=1, random_state=seed)
        dropped = training.groupby("class").cumcount() >= kept
        table.loc[training.index[dropped], "split"] = "unused"
    return table


def _write_data(table: pd.DataFrame, chosen: pd.Series) -> None:
    """Write the chosen rows as a data set to the current folder."""
    DATA.mkdir(parents=True)
    for name in ("classes.json", "preprocessing.json"):
        shutil.copyfile(ROOT / DATA / name, DATA / name)
    for name in ("data/raw", "data/backbone"):
        shutil.copytree(ROOT / name, name)
    np.save(DATA / "images-0.npy", np.load(ROOT / DATA / "images-0.npy")[chosen])
    table[chosen].to_csv(DATA / "manifest.csv", index=False)


def _write_params(longer: int | None, seed: int, start: float | None) -> None:
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    train_params = params["train"]
    train_params["seed"] = seed
    train_params["epochs"] *= longer or 1
    train_params["curriculum"] = {"start": start, "epochs": max(1, train_params["epochs"] // 2)}
    Path("params.yaml").write_text(yaml.safe_dump(params), "utf-8")


def _accuracy() -> float:
    params, runtime = load_section("train", TrainParams), load_section("runtime", RuntimeParams)
    device = choose_device()
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        train(params, runtime, device, ProcessGroup(), time.perf_counter())
        bundle, dataset = load_trained(Path("models"), DATA, device)
        (logits,) = predict_split(bundle, dataset, "test", batch_size=256)
    return float((logits.argmax(axis=1) == dataset.labels[dataset.rows("test")]).mean())


if __name__ == "__main__":
    main()
