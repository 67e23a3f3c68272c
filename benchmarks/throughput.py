"""Training images a second with the real pipeline, against the same step on one resident batch.

    python benchmarks/throughput.py --preset cifar10-fast
    python benchmarks/throughput.py --preset photos --backbone mobilenet_v2 --batch 32

Images are noise of the preset's size. The two are timed in turn, a step each, so that both see
the same disturbances; the first step is not counted. `--images` above what memory holds, on a
machine or in a control group with less memory, shows the memory map being streamed:

    python benchmarks/throughput.py --images 1400000 --folder /var/tmp --batch 512 --steps 40

`--shards 64` divides the images as for data that grow.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from preset_params import preset_params

from classifier.core.shards import shard_names, shards_of
from classifier.data.dataset import Dataset
from classifier.data.stored_images import open_images
from classifier.models.backbones.backbone_description import describe_backbone
from classifier.models.backbones.backbone_params import BackboneParams
from classifier.models.devices import choose_device, prepare_pytorch
from classifier.models.network import Classifier, build_classifier
from classifier.processing.images import Preprocessing
from classifier.processing.spec import BackboneSpec
from classifier.training.batches import Batch, EpochSampler, ImageBatches, MicroBatches
from classifier.training.checkpoint import CheckpointFolder
from classifier.training.distributed import ProcessGroup
from classifier.training.optimization import build_optimizers
from classifier.training.params import TrainParams
from classifier.training.state import TrainState
from classifier.training.step import Loss, train_step

CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="cifar10")
    parser.add_argument("--backbone")
    parser.add_argument("--stem", default="standard")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--images", type=int)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    content = preset_params(options.preset)
    section = content["train"] | {"precision": options.precision}
    if options.backbone:
        content["backbone"] = {"name": options.backbone, "weights": None, "checksum": None}
        section["model"] |= {"stem": options.stem, "freeze": "none"}
        section |= {"feature_views": 0, "ema_decay": None, "head": "linear"}
    if options.batch:
        section |= {"batch_size": options.batch, "grad_accumulation_steps": 1}
    params = TrainParams.model_validate(section)
    backbone = describe_backbone(BackboneParams.model_validate(content["backbone"]))
    prepare_pytorch()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        count = options.images or (options.steps + 1) * params.batch_size
        dataset = noise(Path(folder), count, content["split"]["stored_size"], options.shards)
        pipeline, resident = measure(params, backbone, dataset, options.steps)
    print(
        f"{backbone.name}, batches of {params.batch_size}: {pipeline:.0f} images a second, "
        f"one resident batch {resident:.0f}, ratio {pipeline / resident:.2f}; map of "
        f"{dataset.images.nbytes / 2**20:.0f} MiB, peak memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB"
    )


def noise(folder: Path, count: int, side: int, shards: int = 1) -> Dataset:
    """A data set of noise in memory maps."""
    paths, generator = [f"{row}.png" for row in range(count)], np.random.default_rng(0)
    sizes = np.bincount(shards_of(paths, shards), minlength=shards)
    for name, size in zip(shard_names(shards, ".npy"), sizes.tolist(), strict=True):
        images = np.lib.format.open_memmap(folder / name, "w+", np.uint8, (size, side, side, 3))
        for start in range(0, size, 1000):
            images[start : start + 1000] = generator.integers(
                0, 256, images[start : start + 1000].shape, dtype=np.uint8
            )
        images.flush()
        del images
    manifest = pd.DataFrame({"label": np.arange(count) % CLASSES, "split": "train"})
    classes = [str(label) for label in range(CLASSES)]
    images = open_images(folder, paths, shards, side)
    return Dataset(images, manifest, classes, Preprocessing(side, "crop"))


class Bench(NamedTuple):
    """A network in training: its batches, and what makes a step of one of them."""

    model: Classifier
    stream: Iterator[list[Batch]]
    step: Callable[[list[Batch]], float]


def bench(
    params: TrainParams, backbone: BackboneSpec, dataset: Dataset, side: int | None = None
) -> Bench:
    """The preset's network on this machine, its images reduced to `side`, from random weights."""
    device = choose_device()
    input_size = params.input_size or dataset.images.shape[1]
    steps = params.grad_accumulation_steps
    model = build_classifier(
        params.model,
        backbone,
        classes=CLASSES,
        input_size=input_size,
        mean=(120.0,) * 3,
        std=(60.0,) * 3,
    ).to(device)
    batches = ImageBatches(
        dataset,
        params.augment,
        input_size=input_size,
        sampler=EpochSampler(params.seed, params.batch_size),
        device=device,
        side=lambda _: side or input_size,
        micro_batches=MicroBatches(0, steps, steps),
    )
    state = TrainState(
        network=model.train(),
        replica=model,
        optimizers=build_optimizers(params.optimizer, model),
        ema={},
        checkpoints=CheckpointFolder("benchmark"),
        group=ProcessGroup(),
        grad_accumulation_steps=params.grad_accumulation_steps,
    )

    def step(parts: list[Batch]) -> float:
        return train_step(state, parts, Loss(), params, device, 1.0).item()

    return Bench(model, batches.training_batches(1), step)


def measure(
    params: TrainParams, backbone: BackboneSpec, dataset: Dataset, steps: int
) -> tuple[float, float]:
    """Images a second through the pipeline, and of one batch that is there already."""
    _, stream, step = bench(params, backbone, dataset)
    resident = next(stream)
    step(resident)
    seconds = [0.0, 0.0]
    for _ in range(steps):
        started = time.perf_counter()
        step(next(stream))
        middle = time.perf_counter()
        step(resident)
        seconds[0] += middle - started
        seconds[1] += time.perf_counter() - middle
    count = steps * params.batch_size
    return count / seconds[0], count / seconds[1]


if __name__ == "__main__":
    main()
