"""What single knobs of section `train` change, on data that is split already, seed after seed.

    TORCH_HOME=… python benchmarks/knobs.py PROJECT --seeds 5
    python benchmarks/knobs.py PROJECT --pictures 5000 --change train.mix.mixup=0.2

PROJECT is a folder with params.yaml and data/split. Every line is the preset with one change, or
several joined by commas; accuracy is that on the test split. Features of a frozen backbone are
computed once for each seed.
"""

import argparse
import copy
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from classifier.config import read_params
from classifier.dataset import Dataset, load_dataset
from classifier.devices import choose_device, make_deterministic, one_thread
from classifier.distributed import Processes
from classifier.prediction import predict_logits
from classifier.preparation import describe, prepare_learning, prepare_loss, prepare_model
from classifier.resume import StateFolder
from classifier.train_params import TrainParams
from classifier.training import fit
from classifier.views import named_view

HEAD = [
    "",
    "feature_views=0",
    "feature_views=1",
    "feature_views=2",
    "label_smoothing=0.1",
    "class_weights=balanced",
    "sampling=balanced",
    "mix.mixup=0.2",
    "ema_decay=0.98",
    "optimizer.clip_norm=1.0",
    "optimizer.name=adamw,optimizer.weight_decay=0.01",
    "optimizer.name=sgd,optimizer.lr=0.02",
    "schedule.name=cosine",
    "schedule.name=cosine,schedule.warmup_epochs=10.0",
    "schedule.name=plateau,schedule.step_epochs=2,patience=6",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", type=int, help="at most so many training pictures")
    parser.add_argument("--change", action="append", default=[])
    options = parser.parse_args()
    os.chdir(options.project)
    make_deterministic()
    results: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        dataset = resplit(load_dataset(Path("data/split")), seed, options.pictures)
        for change in options.change or HEAD:
            results.setdefault(change, []).append(accuracy(dataset, seed, change))
            done = " ".join(f"{value:.3f}" for value in results[change])
            print(f"{change or 'preset':60} {statistics.mean(results[change]):.4f}  ({done})")


def resplit(dataset: Dataset, seed: int, pictures: int | None) -> Dataset:
    """The data set with its pictures assigned anew, each class in the same proportions."""
    generator = np.random.default_rng(seed)
    manifest = dataset.manifest.copy()
    for _, rows in manifest.groupby("label").groups.items():
        split = manifest.loc[rows, "split"].to_numpy()
        manifest.loc[rows, "split"] = generator.permutation(split)
    if pictures is not None:
        training = np.flatnonzero(manifest["split"] == "train")
        left_out = generator.permutation(training)[pictures:]
        manifest.loc[left_out, "split"] = "none"
    return Dataset(dataset.images, pd.DataFrame(manifest), dataset.classes, dataset.preprocessing)


def changed(section: dict[str, Any], change: str, seed: int) -> TrainParams:
    section = copy.deepcopy(section) | {"seed": seed}
    for single in filter(None, change.split(",")):
        key, value = single.split("=")
        *parents, last = key.split(".")
        target = section
        for name in parents:
            target = target[name]
        target[last] = yaml.safe_load(value)
    return TrainParams.model_validate(section)


def accuracy(dataset: Dataset, seed: int, change: str) -> float:
    """Of the test pictures, after training with this change."""
    params, device = (
        changed(read_params(Path("params.yaml"))["train"], change, seed),
        choose_device(),
    )
    spec = describe(params, dataset)
    model = prepare_model(params, dataset, spec, device)
    network, batches = prepare_learning(params, model, dataset, device, Processes())
    states = StateFolder("knobs")
    states.clear()
    with one_thread():
        loss = prepare_loss(params, dataset, device)
        fit(network, batches, params, loss=loss, device=device, states=states)
    rows = dataset.rows("test")
    centre = named_view("identity", spec.image_size, spec.crop)
    (logits,) = predict_logits(model, dataset.images, rows, [centre], batch_size=64)
    return float((logits.argmax(1) == dataset.labels[rows]).mean())


if __name__ == "__main__":
    main()
