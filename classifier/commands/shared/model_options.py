"""Options that choose a model and what decides its answers, the same in predict and serve."""

import argparse
import math
import sys
from collections.abc import Sequence

from classifier.commands.shared.options import add_models_option
from classifier.inference.manifest import export_folder
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE
from classifier.inference.predict import Model, load_model
from classifier.inference.runtime_choice import choose_runtime
from classifier.processing.views import CENTRE

# OpenVINO takes about 0.8 s longer to load, and saves about a millisecond an image.
_WORTH_LOADING = 1000


def add_model_options(parser: argparse.ArgumentParser, runtimes: Sequence[str]) -> None:
    """Add the options that `open_model` reads; `settle_runtime` comes before it."""
    add = parser.add_argument
    add_models_option(parser)
    add(
        "--runtime",
        choices=("auto", *runtimes),
        default="auto",
        help="what runs the network: onnx and openvino on the processor, cuda on an NVIDIA GPU; "
        "auto is onnx, or openvino where it is installed and faster on this machine, which is "
        "measured once (default: auto)",
    )
    add("--int8", action="store_true", help="run the eight-bit file")
    add("--tta", action="store_true", help="average over the views of the exported tta.json")
    add(
        "--reject",
        type=_fraction,
        metavar="P",
        help="answer `unknown` where no class has at least this probability, such as 0.8; "
        "0 answers whatever it is (default: what evaluate.reject_below was)",
    )
    add(
        "--outside",
        type=_score,
        metavar="SCORE",
        help="answer `unknown` (none of the classes) where the outside score is higher; inf never "
        "does (default: the threshold that evaluate.outside_share gave)",
    )


def settle_runtime(options: argparse.Namespace, images: int | None = None) -> None:
    """Replace `--runtime auto` by what is faster here.

    Args:
        options: Of a command, changed in place.
        images: How many there are to classify; None for a server. For a few, it is ONNX Runtime.

    Raises:
        UserError: As `choose_runtime`.
    """
    if options.runtime != "auto":
        return
    options.runtime = "onnx"
    export, file = export_folder(options.models), INT8_FILE if options.int8 else ONNX_FILE
    if (images is None or images >= _WORTH_LOADING) and (export / file).is_file():
        choice = choose_runtime(export, file, threads=1)
        options.runtime = choice.runtime
        if choice.runtime != "onnx":
            print(f"runtime {choice.runtime}: {choice.reason}", file=sys.stderr)


def open_model(options: argparse.Namespace) -> Model:
    """Load the model that the options name; a line on standard error says if `--tta` adds no view.

    Raises:
        UserError: As `load_model`.
    """
    model = load_model(
        options.models,
        runtime=options.runtime,
        int8=options.int8,
        tta=options.tta,
        reject_below=options.reject,
        outside_above=options.outside,
        threads=1,
    )
    if options.tta and [view.name for view in model.views] == [CENTRE]:
        print("--tta adds no view: tta.json names the centre crop alone.", file=sys.stderr)
    return model


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no number") from None


def _score(text: str) -> float:
    value = _number(text)
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text} is no number")
    return value


def _fraction(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not between 0 and 1")
    return value
