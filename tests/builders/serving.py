"""A running server for tests: the application, or all of it on a port of its own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from classifier.inference.onnx_runtime import ONNX_FILE
from classifier.inference.predict import Model, load_model
from classifier.serving.app import Served
from classifier.serving.server import address, model_info, server_config
from classifier.serving.uploads import Limits


def served(
    folder: Path, model: Model | None = None, api_key: str | None = None, **limits: Any
) -> Served:
    """The model in `folder`, or another one in its place, with a thread and some limits changed."""
    loaded = load_model(folder, threads=1)
    return Served(
        model or loaded,
        info=model_info(loaded, folder, ONNX_FILE),
        limits=Limits(**limits),
        threads=1,
        batch_size=1,
        api_key=api_key,
    )


def running(what: Served) -> AbstractContextManager[str]:
    """Serve on a free port; gives the address, such as `http://127.0.0.1:4711`."""
    return running_as(server_config(what))


@contextmanager
def running_as(config: uvicorn.Config) -> Iterator[str]:
    """As `running`, whatever is served."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()


def exchange(url: str, *parts: bytes, pause: float = 0.0, timeout: float = 10.0) -> bytes:
    """Send these bytes as they are, with pauses; returns all that comes until the end, or a
    second of silence."""
    host, port = url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except OSError:  # the server has ended it; what it said is still to be read
            pass
        connection.settimeout(1.0)
        try:
            while part := connection.recv(65536):
                received += part
        except OSError:
            pass
    return received
