"""Every family of torchvision and timm from training to exported files, without pretrained weights.

    python benchmarks/backbones.py benchmarks/backbones.csv
    python benchmarks/backbones.py benchmarks/backbones.csv --only timm/vitamin_small_224

Takes the smallest model of each family through the stages on 60 tiny images: fine-tune all layers
for one epoch, train a head on frozen features, evaluate, export. Its weights are random, with the
means and variances of batch norm that random images have in them. It begins with images of 64
pixels; a model that refuses them gets the size that its weights expect. A row of the table says
for each step `yes`, or what the step says. Families that are in the table already are skipped, so
that the program can be stopped and started again. Each family runs in a process of its own for at
most `--minutes`. Needs about 4 GiB of memory and four hours of one core.
"""

import argparse
import csv
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from builders.backbones import (  # pyright: ignore[reportMissingImports] - of the tests
    backbone_params,
)
from builders.tiny import (  # pyright: ignore[reportMissingImports] - of the tests
    tiny_params,
    tiny_runtime,
    write_split,
)
from gpu_operators import smallest_of_timm, smallest_of_torchvision

from classifier.core.config import read_params
from classifier.core.errors import UserError
from classifier.core.files import sha256_of
from classifier.evaluation.evaluate import evaluate
from classifier.evaluation.params import EvaluateParams
from classifier.export.export_model import export_formats, search_int8
from classifier.export.params import ExportParams
from classifier.export.reference import Reference
from classifier.models.backbones.architectures import build_architecture
from classifier.models.backbones.backbone_description import describe_backbone
from classifier.models.devices import prepare_pytorch
from classifier.models.prediction import load_trained
from classifier.models.weights.pretrained import write_backbone
from classifier.processing.decision import Decision
from classifier.training.distributed import ProcessGroup
from classifier.training.run import train

ROOT = Path(__file__).resolve().parents[1]
DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results")
SMALL_SIZE = 64
STEPS = ("train", "frozen", "evaluate", "onnx", "torch_export", "int8")
COLUMNS: tuple[str, ...] = ("backbone", "input_size", *STEPS, "seconds", "at 64 pixels")
Row = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("table", type=Path)
    parser.add_argument("--only", action="append", help="a backbone; all families unless told")
    parser.add_argument("--minutes", type=float, default=5.0, help="at most, for one family")
    options = parser.parse_args()
    table = options.table.resolve()
    families = [*smallest_of_torchvision(), *(f"timm/{name}" for name in smallest_of_timm())]
    names = options.only or families
    known = set(pd.read_csv(table)["backbone"]) if table.exists() else set()
    for name in names:
        if name not in known:
            append(table, in_a_process(name, 60 * options.minutes))


def append(table: Path, row: Row) -> None:
    print(", ".join(row.values()), flush=True)
    first = not table.exists()
    with table.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if first:
            writer.writeheader()
        writer.writerow(row)


def in_a_process(name: str, seconds: float) -> Row:
    """Return the row of a backbone; a process of its own fills it, with all imports done."""
    # Not a copy of this process: threads that a library has started would be missing in it.
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=try_all, args=(name, sender))
    started = time.perf_counter()
    process.start()
    row: Row = dict.fromkeys(COLUMNS, "") | {"backbone": name}
    while time.perf_counter() - started < seconds and (process.is_alive() or receiver.poll()):
        if receiver.poll(0.2):
            row |= receiver.recv()
    if process.is_alive():
        process.kill()
        row[next(step for step in STEPS if not row[step])] = f"not within {seconds / 60:g} minutes"
    process.join()
    return row | {"seconds": f"{time.perf_counter() - started:.0f}"}


def try_all(name: str, sender: Connection) -> None:
    """Send what each step says as soon as it is known."""
    prepare_pytorch("warn")
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        chdir(folder),
        redirect_stdout(StringIO()),
        redirect_stderr(StringIO()),
    ):
        refused = said(lambda: train_all_layers(name, SMALL_SIZE))
        sender.send({"at 64 pixels": refused})
        size: int | None = SMALL_SIZE
        if refused != "yes":
            size = describe_backbone(backbone_params(name)).input_size
        assert size is not None
        trained = refused if size == SMALL_SIZE else said(lambda: train_all_layers(name, size))
        sender.send({"input_size": str(size), "train": trained})
        if trained == "yes":
            sender.send({"evaluate": said(evaluate_it)})
            sender.send(export_it())
        sender.send({"frozen": said(lambda: train_head(name, size))})


def said(step: Callable[[], None]) -> str:
    """Return `yes`, or the sentence of the error."""
    try:
        step()
    except Exception as error:  # which is what this program looks for
        return sentence(error)
    return "yes"


def sentence(error: Exception) -> str:
    """Return what the error says, in a line."""
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"


def train_all_layers(name: str, size: int) -> None:
    write_split(DATA, stored_size=size)
    write_weights(name, size)
    run(epochs=1, lr_scheduler={"warmup_epochs": 0.0}, optimizer={"lr": 1e-4})


def train_head(name: str, size: int) -> None:
    write_weights(name, size)
    run(epochs=1, lr_scheduler={"warmup_epochs": 0.0}, model={"freeze": "backbone"})


def write_weights(name: str, size: int) -> None:
    """Write random weights, for the size that the stage backbone expects, to data/backbone."""
    torch.manual_seed(5)
    expected = describe_backbone(backbone_params(name)).input_size or size
    network, _ = build_architecture(name, pretrained=True, input_size=expected)
    settle_batch_norm(network, torch.rand(8, 3, expected, expected))
    file = Path("weights.safetensors")
    copies = {
        key: value.clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    save_file(copies, file)
    params = backbone_params(name, weights=str(file), checksum=f"sha256:{sha256_of(file)}")
    write_backbone(params, Path("data/backbone"))


@torch.no_grad()
def settle_batch_norm(network: nn.Module, images: torch.Tensor) -> None:
    """Give batch norm the statistics of these images: without, deep networks give zeros."""
    norms = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # the mean of all that it has seen
        norm.reset_running_stats()
    if norms:
        network.train()(images)


def run(**changes: object) -> None:
    params = tiny_params(**changes)
    train(params, tiny_runtime(), torch.device("cpu"), ProcessGroup(), time.perf_counter())


def evaluate_it() -> None:
    bundle, dataset = load_trained(MODELS, DATA)
    params = EvaluateParams.model_validate(read_params(ROOT / "params.yaml")["evaluate"])
    evaluate(bundle, dataset, params, RESULTS / "evaluate", MODELS, None)


def export_it() -> Row:
    """Return what the export stage says of each format."""
    section = read_params(ROOT / "params.yaml")["export"]
    section["int8"] |= {"methods": ["minmax"], "calibration_images": 8, "max_accuracy_drop": 1.0}
    params = ExportParams.model_validate(section)
    bundle, dataset = load_trained(MODELS, DATA)
    reference = Reference(bundle, dataset, params.batch_size)
    try:
        exported, left_out = export_formats(reference, params)
        search = search_int8(reference, exported[0], params.int8, Decision(reject_below=None))
    except Exception as error:
        return {"onnx": sentence(error)}
    row = {one.name: "yes" for one in exported} | {one.name: one.reason for one in left_out}
    return row | {"int8": "yes" if search.chosen else search.reason}


if __name__ == "__main__":
    main()
