"""What single knobs of section `train` change, on data that is split already, seed after seed.

    TORCH_HOME=… python benchmarks/knobs.py PROJECT --seeds 5
    python benchmarks/knobs.py PROJECT --images 5000 --change= --change mix.mixup=0.2

PROJECT is a folder with params.yaml and data/split. Every line is the preset with one change, or
several joined by commas; accuracy is that on the test split. Features of a frozen backbone are
computed once for each seed. `randaugment=9`, which is no knob of the pipeline, applies RandAugment
(arXiv 1909.13719, torchvision's) of that magnitude to what the pipeline's augmentation gives.
"""

import argparse
import copy
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor
from torchvision.transforms.v2 import RandAugment

from classifier.core.config import read_params
from classifier.data.dataset import Dataset, load_dataset
from classifier.models.devices import choose_device, one_thread, prepare_pytorch
from classifier.models.prediction import predict_logits
from classifier.processing.views import named_view
from classifier.training.batches import Batch
from classifier.training.checkpoint import CheckpointFolder
from classifier.training.feature_batches import FeatureBatches
from classifier.training.logistic import solve
from classifier.training.loop import Batches, fit
from classifier.training.params import TrainParams
from classifier.training.run import train_head
from classifier.training.setup import Setup, learner, prepare
from classifier.training.state import start_state

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
    "optimizer.max_grad_norm=1.0",
    "optimizer.name=adamw,optimizer.weight_decay=0.01",
    "optimizer.name=sgd,optimizer.lr=0.02",
    "lr_scheduler.name=cosine",
    "lr_scheduler.name=cosine,lr_scheduler.warmup_epochs=10.0",
    "lr_scheduler.name=plateau,lr_scheduler.step_epochs=2,patience=6",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, help="maximum number of training images")
    parser.add_argument("--change", action="append", default=[])
    options = parser.parse_args()
    os.chdir(options.project)
    prepare_pytorch()
    results: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        dataset = resplit(load_dataset(Path("data/split")), seed, options.images)
        for change in options.change or HEAD:
            results.setdefault(change, []).append(accuracy(dataset, seed, change))
            done = " ".join(f"{value:.3f}" for value in results[change])
            mean = f"{statistics.mean(results[change]):.4f}"
            print(f"{change or 'preset':60} {mean}  ({done})", flush=True)


def resplit(dataset: Dataset, seed: int, images: int | None) -> Dataset:
    """The data set with its images assigned anew, each class in the same proportions."""
    generator = np.random.default_rng(seed)
    manifest = dataset.manifest.copy()
    for _, rows in manifest.groupby("label").groups.items():
        split = manifest.loc[rows, "split"].to_numpy()
        manifest.loc[rows, "split"] = generator.permutation(split)
    if images is not None:
        training = np.flatnonzero(manifest["split"] == "train")
        left_out = generator.permutation(training)[images:]
        manifest.loc[left_out, "split"] = "none"
    return Dataset(dataset.images, pd.DataFrame(manifest), dataset.classes, dataset.preprocessing)


class RandAugmented:
    """Batches of images, changed once more."""

    def __init__(self, batches: Batches, magnitude: int) -> None:
        self._batches, self._change = batches, RandAugment(magnitude=magnitude)
        self.training_order = batches.training_order
        self.validation_batches = batches.validation_batches

    def training_batches(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        for parts in self._batches.training_batches(epoch, first):
            yield [part._replace(inputs=self._changed(part.inputs)) for part in parts]

    def _changed(self, images: Tensor) -> Tensor:
        planes = images.round().to(torch.uint8).permute(0, 3, 1, 2)
        changed = torch.stack([self._change(single) for single in planes])
        return changed.permute(0, 2, 3, 1).to(images.dtype)


def read_changes(change: str) -> dict[str, str]:
    """Such as `{"mix.mixup": "0.2"}`."""
    return dict(single.split("=") for single in change.split(",") if single)


def changed(section: dict[str, Any], changes: dict[str, str], seed: int) -> TrainParams:
    section = copy.deepcopy(section) | {"seed": seed}
    for key, value in changes.items():
        *parents, last = key.split(".")
        target = section
        for name in parents:
            target = target[name]
        target[last] = yaml.safe_load(value)
    return TrainParams.model_validate(section)


def accuracy(dataset: Dataset, seed: int, change: str) -> float:
    """Of the test images, after training with this change."""
    changes = read_changes(change)
    magnitude = changes.pop("randaugment", None)
    params = changed(read_params(Path("params.yaml"))["train"], changes, seed)
    setup = trained(dataset, params, None if magnitude is None else int(magnitude))
    rows = dataset.rows("test")
    centre = named_view("identity", setup.spec.stored_size, setup.spec.input_size)
    (logits,) = predict_logits(setup.model, dataset.images, rows, [centre], batch_size=64)
    return float((logits.argmax(1) == dataset.labels[rows]).mean())


def trained(dataset: Dataset, params: TrainParams, magnitude: int | None = None) -> Setup:
    """Train in the current folder; magnitude: of RandAugment, None without."""
    setup = prepare(params, dataset, choose_device())
    checkpoints = CheckpointFolder("knobs")
    checkpoints.clear()
    if params.linear_probe_epochs:
        of_head = CheckpointFolder("knobs-head")
        of_head.clear()
        train_head(setup, params, of_head, 5.0)
    network, batches = learner(setup, params)
    with one_thread():
        state = start_state(
            network,
            params.optimizer,
            ema_decay=params.ema_decay,
            grad_accumulation_steps=params.grad_accumulation_steps,
            checkpoints=checkpoints,
            group=setup.group,
            device=setup.device,
        )
        if params.head == "logistic":
            assert isinstance(batches, FeatureBatches)
            solve(state, batches, setup.loss, params.monitor, lambda _: None)
            return setup
        if magnitude is not None:
            batches = RandAugmented(batches, magnitude)
        fit(state, batches, setup.loss, params, device=setup.device, checkpoint_minutes=5.0)
    return setup


if __name__ == "__main__":
    main()
