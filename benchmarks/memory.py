"""Training steps and forward passes with the memory settings of `prepare_pytorch`, and without.

    python benchmarks/memory.py --preset cifar10
    python benchmarks/memory.py --preset photos --backbone mobilenet_v2 --batch 32

Each setting is a process of its own, in turn, `--rounds` times: `own` is PyTorch with deterministic
algorithms and no more, `unwritten` leaves memory as it is given, `kept` also keeps what was freed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from preset_params import preset_params
from throughput import bench, noise

from classifier.models import devices
from classifier.models.backbones.backbone_description import describe_backbone
from classifier.models.backbones.backbone_params import BackboneParams
from classifier.training.params import TrainParams

SETTINGS = ("own", "unwritten", "kept")
STEPS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="cifar10")
    parser.add_argument("--backbone")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--setting", choices=SETTINGS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.setting is not None:
        print(*measure(options))
        return
    found: dict[str, list[list[float]]] = defaultdict(list)
    for _ in range(options.rounds):
        for setting in SETTINGS:
            command = [sys.executable, *sys.argv, "--setting", setting]
            said = subprocess.check_output(command, text=True)
            found[setting].append([float(number) for number in said.split()])
    for setting, rounds in found.items():
        step, forward = (median(numbers) for numbers in zip(*rounds, strict=True))
        print(f"{setting}: {step:.1f} images a second in training, {forward:.1f} forward")


def measure(options: argparse.Namespace) -> tuple[float, float]:
    """Return images a second of a training step, and of a forward pass in evaluation mode."""
    content = preset_params(options.preset)
    section = content["train"] | {"precision": options.precision}
    if options.backbone:
        content["backbone"] = {"name": options.backbone, "weights": None, "checksum": None}
        section["model"] |= {"freeze": "none"}
        section |= {"feature_views": 0, "ema_decay": None, "head": "linear"}
    if options.batch:
        section |= {"batch_size": options.batch, "grad_accumulation_steps": 1}
    params = TrainParams.model_validate(section)
    backbone = describe_backbone(BackboneParams.model_validate(content["backbone"]))
    devices.prepare_pytorch() if options.setting == "kept" else prepare_otherwise(options.setting)
    with tempfile.TemporaryDirectory() as folder:
        side = content["split"]["stored_size"]
        one = bench(params, backbone, noise(Path(folder), params.batch_size * 2, side))
        batches = next(one.stream)
        trained = fastest(lambda: one.step(batches))
        images = batches[0].inputs
        one.model.eval()
        with torch.no_grad():
            seconds = fastest(lambda: one.model(images))
    return params.batch_size / trained, len(images) / seconds


def prepare_otherwise(setting: str) -> None:
    """Set PyTorch as `prepare_pytorch` does, without what it says about memory."""
    torch.set_deterministic_debug_mode("error")
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = setting == "own"


def fastest(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest call but the first."""
    call()
    seconds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
