"""Training images a second with the real pipeline, against the same step on one resident batch.

    python benchmarks/throughput.py --preset cifar10 --backbone resnet18 --stem small

Pictures are noise of the preset's size; the first step is not counted.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from classifier.batches import Batch, PictureBatches
from classifier.config import read_params
from classifier.dataset import Dataset
from classifier.devices import choose_device, make_deterministic
from classifier.images import Preprocessing
from classifier.models import build_classifier
from classifier.optimization import build_optimizer
from classifier.resume import StateFolder
from classifier.training import Progress, Run, TrainParams, train_step

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="cifar10")
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--stem", default="standard")
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    content = read_params(ROOT / f"presets/{options.preset}.yaml")
    model = {"backbone": options.backbone, "stem": options.stem, "weights": None, "freeze": "none"}
    content["train"]["model"] |= model
    make_deterministic()
    for precision in ("bf16", "fp32"):
        params = TrainParams.model_validate(content["train"] | {"precision": precision})
        pipeline, resident = measure(params, content["split"]["image_size"], options.steps)
        print(
            f"{options.backbone} {precision}: {pipeline:.0f} images a second, "
            f"one resident batch {resident:.0f}, ratio {pipeline / resident:.2f}"
        )


def measure(params: TrainParams, image_size: int, steps: int) -> tuple[float, float]:
    """Images a second through the pipeline, and of one batch that is there already."""
    device = choose_device()
    rows = np.arange((steps + 1) * params.batch_size)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (len(rows), image_size, image_size, 3), dtype=np.uint8)
    manifest = pd.DataFrame({"label": rows % CLASSES, "split": "train"})
    classes = [str(label) for label in range(CLASSES)]
    dataset = Dataset(images, manifest, classes, Preprocessing(image_size, "crop"))
    crop = params.crop or image_size
    model = build_classifier(
        params.model, classes=CLASSES, crop=crop, mean=(120.0,) * 3, std=(60.0,) * 3
    ).to(device)
    batches = PictureBatches(
        dataset,
        params.augment,
        crop=crop,
        seed=0,
        batch_size=params.batch_size,
        device=device,
    )
    optimizer = build_optimizer(params.optimizer, model)
    run = Run(model.train(), optimizer, Progress(), StateFolder("throughput"))
    criterion = nn.CrossEntropyLoss()

    def step(batch: Batch) -> None:
        loss, _ = train_step(run, batch, criterion, params, device, 0.01)
        loss.item()

    stream = batches.training_batches(1)
    resident = next(stream)
    step(resident)
    started = time.perf_counter()
    for batch in stream:
        step(batch)
    middle = time.perf_counter()
    for _ in range(steps):
        step(resident)
    count = steps * params.batch_size
    return count / (middle - started), count / (time.perf_counter() - middle)


if __name__ == "__main__":
    main()
