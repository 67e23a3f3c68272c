"""Cases of bad input: the model, the data and params.yaml."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from builders.bad.inputs import Case, add_case, write_params
from builders.sources import download_section
from builders.tiny import ROOT, tiny_bundle, write_project
from classifier.core.config import read_params

CASES: dict[str, Case] = {}
case = partial(add_case, CASES)


# The model


def trained(stage: str) -> None:
    """A model and the data of three classes that it belongs to."""
    write_project(Path())
    tiny_bundle(Path("models"))
    if stage == "evaluate":
        write_params(evaluate=read_params(ROOT / "params.yaml")["evaluate"])


@case("evaluate", "no model")
def _(stack: ExitStack) -> None:
    trained("evaluate")
    shutil.rmtree("models")


@case("evaluate", "a model that is cut short")
def _(stack: ExitStack) -> None:
    trained("evaluate")
    path = Path("models/model.safetensors")
    path.write_bytes(path.read_bytes()[:1000])


@case("export", "the model file of another program")
def _(stack: ExitStack) -> None:
    trained("export")
    Path("models/model.safetensors").write_bytes(b"PK\x03\x04 a pickle, say")


@case("export", "a model description of another program")
def _(stack: ExitStack) -> None:
    trained("export")
    Path("models/model.json").write_text('{"model_type": "resnet"}', "utf-8")


@case("evaluate", "a model of other classes than the data")
def _(stack: ExitStack) -> None:
    trained("evaluate")
    Path("data/split/classes.json").write_text('["red", "green", "violet"]', "utf-8")


@case("evaluate", "no data")
def _(stack: ExitStack) -> None:
    trained("evaluate")
    shutil.rmtree("data")


@case("evaluate", "a shard of the data is missing")
def _(stack: ExitStack) -> None:
    trained("evaluate")
    Path("data/split/images-0.npy").unlink()


@case("evaluate", "a shard of other images")
def _(stack: ExitStack) -> None:
    trained("evaluate")
    np.save("data/split/images-0.npy", np.zeros((59, 8, 8, 3), np.uint8))


@case("evaluate", "data that are cut short")
def _(stack: ExitStack) -> None:
    trained("evaluate")
    path = Path("data/split/images-0.npy")
    path.write_bytes(path.read_bytes()[:1000])


# params.yaml


def text(content: str) -> Callable[[ExitStack], None]:
    def prepare(stack: ExitStack) -> None:
        Path("params.yaml").write_text(content, "utf-8")

    return prepare


DIGITS = yaml.safe_dump({"download": download_section()}, sort_keys=False)
for name, content in {
    "params.yaml: empty": "",
    "params.yaml: a list": "- download\n- split\n",
    "params.yaml: a section is missing": "split: {}\n",
    "params.yaml: an empty section": "download:\n",
    "params.yaml: a section that is not known": f"{DIGITS}tarin: {{}}\n",
    "params.yaml: a key that is not known": f"{DIGITS}  sourec: digits\n",
    "params.yaml: a key twice": f"{DIGITS}  url: null\n",
    "params.yaml: a tab": "download:\n\tsource: digits\n",
    "params.yaml: a value of another type": DIGITS.replace("url: null", "url: 3"),
    "params.yaml: `no`, which YAML takes for false": DIGITS.replace("source: digits", "source: no"),
    "params.yaml: an object of Python": "download: !!python/object/apply:os.system [ls]\n",
    "params.yaml: a date of the 99th month": f"{DIGITS}  day: 2026-99-99\n",
    "params.yaml: lists in lists without an end": "download: " + "[" * 5000,
    "params.yaml: a mapping that holds itself": "download: &a\n  source: *a\n",
    "params.yaml: aliases of aliases": "\n".join(
        [
            "download:",
            "  a0: &a0 [0, 0]",
            *(f"  a{i + 1}: &a{i + 1} [*a{i}, *a{i}]" for i in range(40)),
        ]
    ),
}.items():
    case("download", name)(text(content))


@case("download", "params.yaml: not UTF-8")
def _(stack: ExitStack) -> None:
    Path("params.yaml").write_bytes(DIGITS.encode("utf-16"))


@case("download", "params.yaml: missing")
def _(stack: ExitStack) -> None: ...
