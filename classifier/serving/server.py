"""Serve a trained model over HTTP, with a page to try it.

    serve                                # http://127.0.0.1:8000
    curl -F image=@photo.jpg localhost:8000/predict

Before it listens, it replays the golden images of the export: a server that would answer wrongly
ends with status 1 instead.
"""

import argparse
import json
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from classifier.core.errors import UserError
from classifier.core.processes import run_program

try:
    import uvicorn

    from classifier.serving.app import Served, build_app
    from classifier.serving.connections import guarded
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: install the extra `serve`, or run `make setup`.")

from classifier.inference.batch import worker_count
from classifier.inference.golden import read_golden
from classifier.inference.manifest import read_manifest
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE
from classifier.inference.predict import EXPORT, Model, load_model
from classifier.serving.inference_queue import useful_batch_size
from classifier.serving.uploads import Limits

MODEL_CARD = "MODEL_CARD.md"
# Finishing what was accepted takes no longer than an upload and its answer.
_SHUTDOWN_SECONDS = 100


def main() -> None:
    options = _parser().parse_args()
    # What is wrong with an image is told by name.
    warnings.filterwarnings("ignore", module="PIL")
    limits = Limits(
        max_body=options.max_megabytes << 20,
        max_pixels=options.max_megapixels * 1_000_000,
        max_waiting=options.max_waiting,
    )
    served = prepare(options, limits)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.create_server((options.host, options.port), family=family) as listener:
        print(f"Serving on {address(listener)} (stop with Ctrl-C)", flush=True)
        # uvicorn finishes what it has accepted, and then sends itself the signal again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        uvicorn.Server(server_config(served)).run(sockets=[listener])


def run() -> NoReturn:
    """The program `serve`."""
    run_program(main)


def server_config(served: Served) -> uvicorn.Config:
    """uvicorn's settings for it."""
    return uvicorn.Config(
        build_app(served),
        http=guarded(served.limits),
        h11_max_incomplete_event_size=served.limits.header_bytes,
        ws="none",
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def address(listener: socket.socket) -> str:
    """Where a browser on this machine finds what listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def prepare(options: argparse.Namespace, limits: Limits) -> Served:
    """Load the model and check it; raises UserError where it does not answer as it should."""
    model = load_model(
        options.models,
        runtime=options.runtime,
        int8=options.int8,
        tta=options.tta,
        reject_below=options.reject,
        threads=1,
    )
    file = INT8_FILE if options.int8 else ONNX_FILE
    golden = read_golden(options.models / EXPORT)
    try:
        found = golden.replay(file, model.predictor)
    except UserError as error:
        raise UserError(
            f"{file} gives other answers here than where it was made: {error} Do not use it on "
            "this machine."
        ) from None
    batch_size = useful_batch_size(model.predictor, golden.images)
    threads = worker_count()
    print(
        f"{file} (model {model.version}): {found}; {threads} threads, "
        + ("one image at a time" if batch_size == 1 else f"up to {batch_size} images at once")
    )
    return Served(
        model,
        card=model_card(model, options.models, file),
        limits=limits,
        threads=threads,
        batch_size=batch_size,
        api_key=None if options.api_key_file is None else read_key(options.api_key_file),
    )


def model_card(model: Model, folder: Path, file: str) -> dict[str, Any]:
    """What `/model` tells, as `ModelCard` describes it."""
    card = folder / MODEL_CARD
    entries = read_manifest(folder / EXPORT)
    return {
        "classes": model.spec.classes,
        "model": model.version,
        "file": file,
        "files": {name: entry.sha256 for name, entry in entries.items()},
        "description": json.loads(model.spec.model_dump_json()),
        "views": [view.name for view in model.views],
        "reject_below": model.reject_below,
        "card": card.read_text("utf-8") if card.exists() else None,
    }


def read_key(path: Path) -> str:
    """The key in the file, without space around it; raises UserError where it is a weak one."""
    key = path.read_text("utf-8").strip()
    if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"{path} holds no API key: write at least 16 letters and digits, such as "
            "`openssl rand -hex 24` prints."
        )
    return key


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve",
        description="Serve a trained model over HTTP, with a page to try it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--models", type=Path, default=Path("models"), help="the model's folder")
    add("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 for all")
    add("--port", type=int, default=8000, help="the port to listen on")
    add("--runtime", choices=("onnx", "openvino"), default="onnx", help="what runs the file")
    add("--int8", action="store_true", help="run the eight-bit file")
    add("--tta", action="store_true", help="average over the views that models/tta.json names")
    add("--reject", type=float, default=0.0, metavar="P", help="answer `unknown` below it")
    add("--api-key-file", type=Path, metavar="FILE", help="ask for the key that this file holds")
    add("--max-megabytes", type=int, default=32, metavar="N", help="largest body of a request")
    add("--max-megapixels", type=int, default=50, metavar="N", help="largest image")
    add("--max-waiting", type=int, default=64, metavar="N", help="images in the queue")
    return parser


if __name__ == "__main__":
    run()
