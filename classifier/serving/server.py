"""Load a model, check it and listen: what `classifier serve` runs.

Before it listens, it replays the golden images of the export: a server that would answer wrongly
ends with status 1 instead.
"""

import json
import signal
import socket
from pathlib import Path
from typing import Any

import uvicorn

from classifier.core.errors import UserError
from classifier.core.processes import worker_count
from classifier.inference.golden_files import read_golden
from classifier.inference.manifest import read_manifest
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE
from classifier.inference.predict import Model, export_folder
from classifier.serving.app import Served, build_app
from classifier.serving.connections import connection_class
from classifier.serving.inference_queue import useful_batch_size
from classifier.serving.uploads import Limits

MODEL_CARD = "MODEL_CARD.md"
# Finishing what was accepted takes no longer than an upload and its answer.
_SHUTDOWN_SECONDS = 100


def listen(served: Served, host: str, port: int) -> None:
    """Serve a model, see `serve_on`."""
    serve_on(server_config(served), host, port)


def serve_on(config: uvicorn.Config, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C; port 0 takes a free one. Raises OSError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        print(f"Serving on {address(listener)} (stop with Ctrl-C)", flush=True)
        # uvicorn finishes what it has accepted, and then sends itself the signal again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        uvicorn.Server(config).run(sockets=[listener])


def server_config(served: Served) -> uvicorn.Config:
    """Return the settings of uvicorn."""
    return uvicorn.Config(
        build_app(served),
        http=connection_class(served.limits),
        h11_max_incomplete_event_size=served.limits.header_bytes,
        ws="none",
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def address(listener: socket.socket) -> str:
    """Return the address at which a browser on this machine finds the listener."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def prepare(
    model: Model, folder: Path, *, int8: bool, limits: Limits, api_key: str | None
) -> Served:
    """Check that `model`, loaded from `folder`, answers as it did where it was exported.

    Raises UserError where it does not.
    """
    file = INT8_FILE if int8 else ONNX_FILE
    golden = read_golden(export_folder(folder))
    try:
        found = golden.replay(file, model.predictor)
    except UserError as error:
        raise UserError(
            f"{file} gives other answers here than where it was made: {error} Do not use it on "
            "this machine."
        ) from None
    batch_size = useful_batch_size(model.predictor, golden.inputs.images)
    threads = worker_count()
    print(
        f"{file} (model {model.version}): {found}; {threads} threads, "
        + ("one image at a time" if batch_size == 1 else f"up to {batch_size} images at once")
    )
    return Served(
        model,
        info=model_info(model, folder, file),
        limits=limits,
        threads=threads,
        batch_size=batch_size,
        api_key=api_key,
    )


def model_info(model: Model, folder: Path, file: str) -> dict[str, Any]:
    """Return what `/model` answers, as `ModelInfo` describes it."""
    card = folder / MODEL_CARD
    decision = model.decision
    entries = read_manifest(export_folder(folder))
    return {
        "classes": model.spec.classes,
        "model": model.version,
        "file": file,
        "files": {name: entry.sha256 for name, entry in entries.items()},
        "description": json.loads(model.spec.model_dump_json()),
        "views": [view.name for view in model.views],
        "reject_below": decision.reject_below or 0.0,
        "outside_above": decision.outside_above,
        "coverage": None if decision.sets is None else decision.sets.coverage,
        "card": card.read_text("utf-8") if card.exists() else None,
    }


def read_key(path: Path) -> str:
    """Return the API key in a file, stripped; raise UserError where it is weak."""
    key = path.read_text("utf-8").strip()
    if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"{path} holds no API key: write at least 16 letters and digits, such as "
            "`openssl rand -hex 24` prints."
        )
    return key
