"""Serve the model over HTTP, with a page to try it.

classifier serve                                # http://127.0.0.1:8000
curl -F image=@photo.jpg localhost:8000/predict
"""

import argparse
from pathlib import Path

from classifier.commands.shared.model_options import add_model_options, open_model
from classifier.commands.shared.options import needs_extra


def main(arguments: list[str]) -> None:
    """Load the model, check it and serve it until it is stopped.

    Raises UserError where the extra `serve` is missing or the model cannot be trusted here.
    """
    options = _parser().parse_args(arguments)
    with needs_extra("serve"):
        from classifier.serving.server import listen, prepare, read_key  # noqa: PLC0415
        from classifier.serving.uploads import Limits  # noqa: PLC0415
    limits = Limits(
        max_body=options.max_megabytes << 20,
        max_pixels=options.max_megapixels * 1_000_000,
        max_waiting=options.max_waiting,
    )
    model = open_model(options)
    api_key = None if options.api_key_file is None else read_key(options.api_key_file)
    served = prepare(model, options.models, int8=options.int8, limits=limits, api_key=api_key)
    listen(served, options.host, options.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="classifier serve",
        description="Serve a trained model over HTTP, with a page to try it.",
    )
    add = parser.add_argument
    add_model_options(parser, ("onnx", "openvino"))
    add(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; 0.0.0.0 for all (default: %(default)s)",
    )
    add(
        "--port",
        type=int,
        default=8000,
        help="the port to listen on; 0 for a free one (default: %(default)s)",
    )
    add("--api-key-file", type=Path, metavar="FILE", help="ask for the key that this file holds")
    add(
        "--max-megabytes",
        type=int,
        default=32,
        metavar="N",
        help="largest body of a request (default: %(default)s)",
    )
    add(
        "--max-megapixels",
        type=int,
        default=50,
        metavar="N",
        help="largest image (default: %(default)s)",
    )
    add(
        "--max-waiting",
        type=int,
        default=64,
        metavar="N",
        help="images in the queue (default: %(default)s)",
    )
    return parser
