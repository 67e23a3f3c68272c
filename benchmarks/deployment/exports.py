"""Every way to run a trained project's model on this processor: size, accuracy, speed.

    python benchmarks/deployment/exports.py path/to/project
    python benchmarks/deployment/exports.py path/to/project --png exports.png --images 500

The project must have run up to the export stage; `OMP_NUM_THREADS` sets the threads of PyTorch and
of ONNX Runtime. Beside the exported files it measures eager PyTorch in float32 and bfloat16, and
`quantize_dynamic` on the linear layers, which is often said to make networks about three times as
fast on processors: a convolutional network has its work elsewhere. OpenVINO runs the ONNX files
too, where it is installed. All are measured in turn. It prints a Markdown table; the image shows
accuracy against the milliseconds of one image.
"""

import argparse
import copy
import importlib.util
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter

from classifier.core.processes import run_program
from classifier.data.dataset import Dataset
from classifier.export.formats import EXECUTORCH, ONNX, TORCH_EXPORT, TORCHSCRIPT, run_onnx
from classifier.inference.latency import Speed, measure_in_turn
from classifier.inference.manifest import read_exported, read_manifest
from classifier.inference.onnx_runtime import INT8_FILE, Predictor
from classifier.inference.openvino_runtime import load_openvino
from classifier.inference.torch_runtime import eager
from classifier.models.network import Classifier
from classifier.models.prediction import load_trained
from classifier.plotting.figures import new_figure, write_png
from classifier.processing.images import center_crop

BATCH = 32


class Way(NamedTuple):
    """One way to run the model, and the megabytes of what it runs."""

    predict: Predictor
    megabytes: float


class Row(NamedTuple):
    name: str
    megabytes: float
    accuracy: float
    speed: Speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--png", type=Path, default=Path("exports.png"))
    parser.add_argument("--images", type=int, help="of the test split; all unless told")
    options = parser.parse_args()
    bundle, dataset = load_trained(options.project / "models", options.project / "data/split")
    rows = dataset.rows("test")[: options.images]
    ways = eager_ways(bundle.model) | exported_ways(options.project / "models/export")
    input_size = bundle.spec.input_size
    correct = {name: accuracy(way.predict, dataset, rows, input_size) for name, way in ways.items()}
    images = np.ascontiguousarray(center_crop(dataset.images[rows[:BATCH]], input_size))
    predictors = {name: way.predict for name, way in ways.items()}
    speeds = measure_in_turn(predictors, images, BATCH)
    table = [Row(name, way.megabytes, correct[name], speeds[name]) for name, way in ways.items()]
    print(
        f"{bundle.spec.backbone.name} at {input_size}x{input_size}, "
        f"{torch.get_num_threads()} threads, ",
        end="",
    )
    print(f"{len(rows)} test images\n\n{markdown(table)}")
    draw(table, options.png)


def eager_ways(model: Classifier) -> dict[str, Way]:
    """PyTorch itself, in float32, in bfloat16, and with eight bits in the linear layers."""
    half = copy.deepcopy(model).to(torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # PyTorch deprecates it, but it is the claim that is to be tested.
        dynamic = torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8
        )
    return {
        "PyTorch float32": Way(eager(model), megabytes(model)),
        "PyTorch bfloat16": Way(eager(half), megabytes(half)),
        "PyTorch quantize_dynamic": Way(eager(dynamic), megabytes(dynamic)),
    }


def megabytes(model: torch.nn.Module) -> float:
    """Of the weights as PyTorch saves them."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return len(buffer.getvalue()) / 1e6


def exported_ways(folder: Path) -> dict[str, Way]:
    """The exported files that are there, the ONNX ones with OpenVINO too if it is installed."""
    loaders = {
        ONNX.file: ("ONNX float32", run_onnx),
        INT8_FILE: ("ONNX int8", run_onnx),
        TORCHSCRIPT.file: ("TorchScript", TORCHSCRIPT.load),
        TORCH_EXPORT.file: ("torch.export", TORCH_EXPORT.load),
        EXECUTORCH.file: ("ExecuTorch", EXECUTORCH.load),
    }
    ways: dict[str, Way] = {}
    there = read_manifest(folder)
    for file, (name, load) in loaders.items():
        if file in there:
            content = read_exported(folder, file)
            ways[name] = Way(load(content), len(content) / 1e6)
            if load is run_onnx and importlib.util.find_spec("openvino"):
                predict = load_openvino(content, torch.get_num_threads())
                ways[name.replace("ONNX", "OpenVINO")] = Way(predict, len(content) / 1e6)
    return ways


def accuracy(predict: Predictor, dataset: Dataset, rows: np.ndarray, input_size: int) -> float:
    batches = np.array_split(rows, -(-len(rows) // BATCH))
    answers = [
        predict(np.ascontiguousarray(center_crop(dataset.images[batch], input_size))).logits.argmax(
            axis=1
        )
        for batch in batches
    ]
    return float(np.mean(np.concatenate(answers) == dataset.labels[rows]))


def markdown(table: list[Row]) -> str:
    head = "| | MB | accuracy | ms, median | ms, 95% | images/s | times as fast as float32 |"
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    first = table[0].speed.milliseconds_p50
    for row in table:
        median, high, rate = row.speed
        lines.append(
            f"| {row.name} | {row.megabytes:.1f} | {row.accuracy:.4f} | {median:.2f} | {high:.2f} "
            f"| {rate:.0f} | {first / median:.2f} |"
        )
    return "\n".join(lines)


def draw(table: list[Row], path: Path) -> None:
    """Accuracy against the milliseconds of one image."""
    figure = new_figure(8, 5)
    axes = figure.subplots()
    # A legend, since ways of equal accuracy lie on one line, where names would overlap.
    for place, row in enumerate(table):
        marker, colour = "os^DvPX*<>"[place % 10], f"C{place % 10}"
        point = (row.speed.milliseconds_p50, row.accuracy)
        axes.plot(*point, marker, color=colour, markersize=9, label=row.name, linestyle="")
    axes.set_xscale("log")
    axes.margins(0.1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    # Where all are equally accurate, the axis would go on far above 1.
    accuracies = [row.accuracy for row in table]
    space = max(0.005, 0.1 * (max(accuracies) - min(accuracies)))
    axes.set_ylim(min(accuracies) - space, max(accuracies) + space)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.set_xlabel("milliseconds for one image, median")
    axes.set_ylabel("test accuracy")
    axes.grid(alpha=0.3)
    write_png(figure, path)


if __name__ == "__main__":
    run_program(main)
