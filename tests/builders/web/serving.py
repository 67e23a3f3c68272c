"""A running server for tests: the application, or all of it on a port of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from classifier.inference.manifest import export_folder, read_exported
from classifier.inference.onnx_runtime import ONNX_FILE
from classifier.inference.predict import Model, load_model
from classifier.processing.similar_images import SIMILAR_SHEET
from classifier.serving.limits import Limits
from classifier.serving.served_model import ServedModel, model_info, prepare
from classifier.serving.server import ClassifierServer, address
from classifier.serving.service import Service, ServiceOptions


def served(
    folder: Path,
    model: Model | None = None,
    api_key: str | None = None,
    *,
    processes: int = 0,
    allowed_hosts: tuple[str, ...] = (),
    **limits: Any,
) -> Service:
    """The model in `folder`, or another one in its place, with a thread and some limits changed.

    With processes, the model is that of the folder.
    """
    options = ServiceOptions(Limits(**limits), processes, 1, api_key, allowed_hosts)

    def load() -> ServedModel:
        return prepare(lambda: load_model(folder, threads=1), folder, int8=False, runtime="onnx")

    if processes:
        return Service(load(), options, load)
    loaded = model or load_model(folder, threads=1)
    info = model_info(loaded, folder, ONNX_FILE)
    export = export_folder(folder)
    sheet = None if loaded.similar is None else read_exported(export, SIMILAR_SHEET)
    what = ServedModel(loaded.version, info, lambda: loaded, similar=sheet)
    return Service(what, options, load)


def running(what: Service) -> AbstractContextManager[str]:
    """Serve on a free port; gives the address, such as `http://127.0.0.1:4711`."""
    return running_as(ClassifierServer(what))


@contextmanager
def running_as(server: uvicorn.Server) -> Iterator[str]:
    """As `running`, whatever is served."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()


def form(*contents: bytes, field: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    """The files of a form with these images, for `TestClient.post`."""
    return [(field, (f"{number}.png", content)) for number, content in enumerate(contents)]


def exchange(url: str, *parts: bytes, pause: float = 0.0, timeout: float = 60.0) -> bytes:
    """Send these bytes as they are, with pauses; returns all that comes until the end, or until a
    second of silence after the first bytes."""
    host, port = url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except OSError:  # the server has ended it; what it said is still to be read
            pass
        try:
            while part := connection.recv(65536):
                received += part
                connection.settimeout(1.0)
        except OSError:
            pass
    return received
