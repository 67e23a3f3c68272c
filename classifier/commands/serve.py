"""Serve the model over HTTP, with a page to try it.

classifier serve                                # http://127.0.0.1:8000
curl -F image=@photo.jpg localhost:8000/predict
"""

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from classifier.commands.shared.model_options import add_model_options, open_model, settle_runtime
from classifier.commands.shared.options import file_path, needs_extra, whole
from classifier.commands.shared.parser import CommandParser
from classifier.core.errors import UserError
from classifier.core.processes import worker_count
from classifier.core.text import counted
from classifier.processing.formats import FORMATS

if TYPE_CHECKING:
    from classifier.serving.limits import Limits
    from classifier.serving.served_model import ServedModel
    from classifier.serving.service import ServiceOptions

# How people call them, by Pillow's names.
_FORMATS = {**{name: name for name in FORMATS}, "HEIC": "HEIF"}
_DEFAULT_FORMATS = "JPEG,PNG,WebP,AVIF,HEIC"
_MEMORY = """\
Memory in MiB, at most: 200 + 2 x max-buffered-megabytes + max-decoded-megabytes + N x (332 + 4 x
max-megabytes) + (N + 1) x twice the model's file, for N processes; without processes less (see
docs/serving.md).
"""


def main(arguments: list[str]) -> None:
    """Load the model, check it and serve it until it is stopped.

    Raises UserError where the extra `serve` is missing or the model cannot be trusted here.
    """
    options = _parser().parse_args(arguments)
    with needs_extra("serve"):
        from classifier.serving.request_log import RequestLog, log_as_json  # noqa: PLC0415
        from classifier.serving.served_model import prepare  # noqa: PLC0415
        from classifier.serving.server import ClassifierServer, read_key, serve_on  # noqa: PLC0415
        from classifier.serving.service import Service, ServiceOptions  # noqa: PLC0415
    service_options = ServiceOptions(
        _limits(options),
        options.processes,
        worker_count(),
        None if options.api_key_file is None else read_key(options.api_key_file),
        options.allowed_hosts,
        options.record,
    )
    settle_runtime(options)
    load = partial(
        prepare,
        partial(open_model, options),
        options.models,
        int8=options.int8,
        runtime=options.runtime,
    )
    model = load()
    print(_summary(model, service_options))
    log = None
    if options.log == "json":
        log_as_json()
        log = RequestLog(sys.stderr)
    serve_on(
        ClassifierServer(Service(model, service_options, load), log), options.host, options.port
    )


def _limits(options: argparse.Namespace) -> "Limits":
    from classifier.serving.limits import Limits  # noqa: PLC0415

    limits = Limits(
        max_body=options.max_megabytes << 20,
        max_pixels=options.max_megapixels * 1_000_000,
        max_waiting=options.max_waiting,
        max_buffered=options.max_buffered_megabytes << 20,
        max_decoded=options.max_decoded_megabytes << 20,
        formats=options.formats,
        decode_seconds=options.decode_seconds,
        shutdown_seconds=options.shutdown_seconds,
    )
    if limits.max_buffered < 2 * limits.max_body:
        raise UserError(
            "--max-buffered-megabytes must be at least twice --max-megabytes, since one address "
            "may fill half of it."
        )
    return limits


def _summary(model: "ServedModel", options: "ServiceOptions") -> str:
    """Return what is served, by how many workers, and the most memory that they take."""
    from classifier.serving.limits import most_memory  # noqa: PLC0415

    workers = options.processes or options.threads
    kind = "process" if options.processes else "thread"
    size = model.batch_size
    images = "one image at a time" if size == 1 else f"up to {size} images at once"
    memory = most_memory(options.limits, workers, options.processes > 0, model.size) >> 20
    return f"{model.found}; {counted(workers, kind)}, {images}; at most {memory:,} MiB"


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="classifier serve",
        description="Serve a trained model over HTTP, with a page to try it.",
        epilog=_MEMORY,
    )
    add_model_options(parser, ("onnx", "openvino", "cuda"))
    _add_addresses(parser)
    _add_service(parser)
    _add_limits(parser)
    return parser


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address to listen on; 0.0.0.0 for all (default: %(default)s)",
    )
    add(
        "--port",
        type=whole(0, 65535),
        default=8000,
        metavar="N",
        help="the port to listen on; 0 for a free one (default: %(default)s)",
    )
    add(
        "--api-key-file",
        type=file_path,
        metavar="FILE",
        help="ask for the key that this file holds",
    )
    add(
        "--allowed-hosts",
        type=_hosts,
        default=(),
        metavar="NAMES",
        help="host names under which requests may come, such as cats.example.org,localhost "
        "(default: all)",
    )


def _add_service(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--processes",
        type=whole(0, 256),
        default=worker_count(),
        metavar="N",
        help="processes that decode images and run the model; 0 for threads of one process, which "
        "need less memory but cannot be stopped in the middle of an image (default: "
        "OMP_NUM_THREADS, or else one for each core; here %(default)s)",
    )
    add(
        "--formats",
        type=_formats,
        default=_formats(_DEFAULT_FORMATS),
        metavar="NAMES",
        help=f"formats that are taken, of {', '.join(_FORMATS)} (default: {_DEFAULT_FORMATS})",
    )
    add(
        "--log",
        choices=("text", "json"),
        default="text",
        help="json writes a line for each request to the standard error; text writes warnings "
        "alone (default: %(default)s)",
    )
    add(
        "--record",
        type=file_path,
        metavar="FILE",
        help="append every answer as a JSON line, without the image, for `classifier drift`",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("limits")
    numbers = {
        "--max-megabytes": (1, 1024, 32, "largest body of a request, in MiB"),
        "--max-megapixels": (1, 1000, 25, "largest image"),
        "--max-waiting": (1, 100_000, 64, "images in the queue"),
        "--max-buffered-megabytes": (2, 1 << 20, 128, "bodies of all requests in memory, in MiB"),
        "--max-decoded-megabytes": (
            16,
            1 << 20,
            512,
            "memory of all images that are being decoded, in MiB; one that would take more alone "
            "is refused",
        ),
        "--decode-seconds": (1, 3600, 5, "longest time to decode an image"),
        "--shutdown-seconds": (1, 3600, 10, "longest time from SIGTERM to the end"),
    }
    for name, (low, high, default, text) in numbers.items():
        limits.add_argument(
            name,
            type=whole(low, high),
            default=default,
            metavar="N",
            help=f"{text} (default: %(default)s)",
        )


def _hosts(text: str) -> tuple[str, ...]:
    names = _names(text)
    # An address of IPv6 stands in brackets, as in the header Host.
    if not names or any(":" in name and name[0] + name[-1] != "[]" for name in names):
        raise argparse.ArgumentTypeError(
            f"{text!r} names no hosts: give names without ports, such as cats.example.org,localhost"
        )
    return names


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _formats(text: str) -> tuple[str, ...]:
    named = {name.upper(): known for name, known in _FORMATS.items()}
    wrong = [name for name in _names(text) if name.upper() not in named]
    if wrong or not _names(text):
        raise argparse.ArgumentTypeError(
            f"{', '.join(wrong) or 'nothing'} is no format; choose from {', '.join(_FORMATS)}"
        )
    return tuple(dict.fromkeys(named[name.upper()] for name in _names(text)))
