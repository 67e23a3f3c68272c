"""Serve the model over HTTP, with a page to try it.

classifier serve                                # http://127.0.0.1:8000
curl -F image=@photo.jpg localhost:8000/predict
"""

import argparse
import warnings
from pathlib import Path

from classifier.core.errors import UserError


def main(arguments: list[str]) -> None:
    """Load the model, check it and serve it until it is stopped.

    Raises UserError where the extra `serve` is missing or the model cannot be trusted here.
    """
    options = _parser().parse_args(arguments)
    try:
        from classifier.serving.server import listen, prepare, read_key  # noqa: PLC0415
        from classifier.serving.uploads import Limits  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is missing: install the extra `serve`, or run `make setup`."
        ) from None
    from classifier.inference.predict import load_model  # noqa: PLC0415

    # Pillow's warnings do not name the image; our own messages do.
    warnings.filterwarnings("ignore", module="PIL")
    limits = Limits(
        max_body=options.max_megabytes << 20,
        max_pixels=options.max_megapixels * 1_000_000,
        max_waiting=options.max_waiting,
    )
    model = load_model(
        options.models,
        runtime=options.runtime,
        int8=options.int8,
        tta=options.tta,
        reject_below=options.reject,
        threads=1,
    )
    api_key = None if options.api_key_file is None else read_key(options.api_key_file)
    served = prepare(model, options.models, int8=options.int8, limits=limits, api_key=api_key)
    listen(served, options.host, options.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="classifier serve",
        description="Serve a trained model over HTTP, with a page to try it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--models", type=Path, default=Path("models"), help="folder of the model, or of an export")
    add("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 for all")
    add("--port", type=int, default=8000, help="the port to listen on; 0 for a free one")
    add("--runtime", choices=("onnx", "openvino"), default="onnx", help="what runs the file")
    add("--int8", action="store_true", help="run the eight-bit file")
    add("--tta", action="store_true", help="average over the views of the exported tta.json")
    rejecting = "answer `unknown` below this probability; 0: never; None: as evaluate.reject_below"
    add("--reject", type=float, metavar="P", help=rejecting)
    add("--api-key-file", type=Path, metavar="FILE", help="ask for the key that this file holds")
    add("--max-megabytes", type=int, default=32, metavar="N", help="largest body of a request")
    add("--max-megapixels", type=int, default=50, metavar="N", help="largest image")
    add("--max-waiting", type=int, default=64, metavar="N", help="images in the queue")
    return parser
