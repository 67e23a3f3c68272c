"""Predict the classes of image files.

    classifier predict photo.jpg holiday/ 'scans/*.png' more.zip
    find . -name '*.jpg' | classifier predict - --json

Prints a line for each image as a table, as JSON objects or as CSV. Standard error names the images
that cannot be read, and the exit status is then 1. For folders, patterns and archives it also says
in one line how many images were used, and which files were not.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from classifier.commands.shared.model_options import add_model_options, open_model, settle_runtime
from classifier.commands.shared.options import file_path, not_empty, positive
from classifier.commands.shared.parser import CommandParser
from classifier.core.errors import UserError
from classifier.core.text import escape_name
from classifier.inference.answer import Answer
from classifier.inference.batch import ImageResult, classify_all
from classifier.inference.image_files import describe_search, find_images, read_images
from classifier.inference.measures import image_measures
from classifier.inference.predict import Model
from classifier.processing.images import DecodedImage
from classifier.processing.softmax import UNKNOWN

# Maximum number of images that --plot draws.
_MOST_DRAWN = 12
# Number of images from which a progress bar is shown, unless the lines themselves show it.
_MANY = 20

Writer = Callable[[str, Answer, DecodedImage], None]


def main(arguments: list[str]) -> None:
    """Classify the images that are named and print what they are."""
    options = _parser().parse_args(arguments)
    if options.json and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale
    search = find_images(options.images, _standard_input())
    settle_runtime(options, search.count)
    model = open_model(options)
    outcomes = _with_bar(classify_all(model, read_images(search), count=search.count), search.count)
    drawn, used, failed = _write_all(outcomes, _writer(model, options), options)
    # Nothing is said about images whose answers did not arrive.
    print(end="", flush=True)
    if search.several:
        print(describe_search(search, used, failed), file=sys.stderr)
    if options.plot is not None:
        _plot(drawn, options.plot, options.top_k)
    if failed:
        sys.exit(1)


def _standard_input() -> Iterator[str]:
    """Yield the lines of standard input, as names of files: bytes of any encoding."""
    if sys.stdin is not None:  # as where it is closed
        yield from map(os.fsdecode, sys.stdin.buffer)


def _write_all(
    outcomes: Iterable[ImageResult], write: Writer, options: argparse.Namespace
) -> tuple[list[ImageResult], int, int]:
    """Write every outcome; return those to draw, and the numbers of answers and of failures."""
    drawn: list[ImageResult] = []
    used = failed = 0
    for outcome in outcomes:
        if outcome.answer is None or outcome.image is None:
            failed += 1
            print(f"error: {escape_name(outcome.name)}: {outcome.problem}", file=sys.stderr)
            continue
        used += 1
        for warning in outcome.warnings:
            print(f"warning: {escape_name(outcome.name)}: {warning}", file=sys.stderr)
        write(outcome.name, outcome.answer, outcome.image)
        if options.plot is not None and len(drawn) < _MOST_DRAWN:
            drawn.append(outcome)
    return drawn, used, failed


def _with_bar(outcomes: Iterator[ImageResult], count: int) -> Iterator[ImageResult]:
    """Add a progress bar on standard error if it does not mix with other output."""
    if count < _MANY or sys.stdout.isatty() or not sys.stderr.isatty():
        return outcomes
    from tqdm import tqdm  # noqa: PLC0415 (of use only here)

    return iter(tqdm(outcomes, total=count, unit="images"))


def _writer(model: Model, options: argparse.Namespace) -> Writer:
    if options.json:
        return lambda name, answer, image: print(_json_line(name, answer, image, options.top_k))
    if options.csv:
        return _csv_writer(sys.stdout, min(options.top_k, len(model.spec.classes)))
    width = max(len(name) for name in [*model.spec.classes, UNKNOWN])
    return lambda name, answer, _: print(_table_line(name, answer, options.top_k, width))


def _json_line(name: str, answer: Answer, image: DecodedImage, top_k: int) -> str:
    content = {
        "path": name,
        "label": answer.label,
        "index": answer.index,
        "probability": _rounded(answer.probability),
        "reason": answer.reason,
        "outside": None if answer.outside is None else _rounded(answer.outside),
        "set": None if answer.set is None else [one.label for one in answer.set],
        "top": [
            {"label": one.label, "index": one.index, "probability": _rounded(one.probability)}
            for one in answer.top(top_k)
        ],
        "similar": [one._asdict() for one in answer.similar],
        "views": answer.views,
        "warnings": list(image.warnings),
        **image_measures(image.pixels, image.width, image.height),
    }
    text = json.dumps(content, ensure_ascii=False)
    # A name of bytes that are no UTF-8 holds lone surrogates, which only an escape can carry.
    return text if text.isprintable() else json.dumps(content)


def _csv_writer(file: TextIO, top_k: int) -> Writer:
    """Write the columns path, label, index, probability, reason, then the next classes with theirs.

    The prediction set is in the JSON alone: names of classes may hold any separator.
    """
    rows = csv.writer(file, lineterminator="\n")
    further = [f"{key}_{rank}" for rank in range(2, top_k + 1) for key in ("label", "probability")]
    rows.writerow(["path", "label", "index", "probability", "reason", *further])

    def write(name: str, answer: Answer, _image: DecodedImage) -> None:
        others = [
            value
            for other in answer.beside_best(top_k - 1)
            for value in (other.label, f"{other.probability:.6f}")
        ]
        index = "" if answer.index is None else answer.index
        rows.writerow(
            [
                escape_name(name),
                answer.label,
                index,
                f"{answer.probability:.6f}",
                answer.reason or "",
                *others,
            ]
        )

    return write


def _table_line(name: str, answer: Answer, top_k: int, width: int) -> str:
    # The probability is that of a class, so that beside `unknown` it would be misread.
    first = "" if answer.rejected else f"{answer.probability:.1%}"
    shown = [(answer.label, first)]
    shown += [(one.label, f"{one.probability:.1%}") for one in answer.beside_best(top_k - 1)]
    cells = [f"{probability:>6} {label:<{width}}" for label, probability in shown]
    return f"{'  '.join(cells)}  {escape_name(name)}{_note(answer)}"


def _note(answer: Answer) -> str:
    """Return why the answer is `unknown`, or which other classes the image may be of."""
    if answer.reason is not None:
        return f"  ({answer.reason}; most probable: {answer.best.label}, {answer.probability:.1%})"
    others = [one.label for one in answer.set or [] if one.index != answer.index]
    return f"  (or {', '.join(others)})" if others else ""


def _rounded(probability: float) -> float:
    return round(probability, 6)


def _plot(outcomes: list[ImageResult], path: Path, top_k: int) -> None:
    if not outcomes:
        raise UserError(f"{path} is not drawn: no image could be read.")
    # Matplotlib takes longer to import than everything else.
    from classifier.commands.shared.answer_chart import answer_figure  # noqa: PLC0415
    from classifier.plotting.figures import write_png  # noqa: PLC0415

    write_png(answer_figure(outcomes, max(top_k, 5)), path)


def _png_path(text: str) -> Path:
    """Return the path of a chart; `--plot photo.jpg other.jpg` must not overwrite a photo."""
    path = file_path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text} does not end in .png, as the chart does")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="classifier predict",
        description="Classify image files with the trained model.",
        epilog="In the table and in CSV, control characters of a name are escaped, so that an "
        "image is a line; JSON has the exact name.",
    )
    add = parser.add_argument
    add(
        "images",
        type=not_empty,
        nargs="+",
        metavar="IMAGE",
        help="a file, a folder, a quoted pattern ('scans/**/*.png'), a zip or tar archive, "
        "or - for paths on standard input, one a line or separated by NUL characters",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object a line")
    form.add_argument("--csv", action="store_true", help="CSV with a header")
    add(
        "--top-k",
        type=positive,
        default=1,
        metavar="N",
        help="show the N most probable classes (default: 1)",
    )
    add("--plot", type=_png_path, metavar="PNG", help="draw the first images beside their classes")
    add_model_options(parser, ("onnx", "openvino", "cuda", "torch"))
    return parser
