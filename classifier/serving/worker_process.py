"""A worker as a process of its own, which can be killed in the middle of an image.

Both ends speak over a pair of sockets: a head in JSON and a body of bytes, each with its length in
front. Nothing that a worker says is unpickled, since a hostile image may have taken it over.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import struct
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from classifier.core.errors import UserError
from classifier.inference.predict import Model
from classifier.serving.image_worker import ImageWorker, Outcome, Task
from classifier.serving.limits import Limits

# Waits until so many bytes may be used for decoding.
AsyncGrant = Callable[[int], Awaitable[None]]

_LENGTHS = struct.Struct("!II")
# A process that is copied from one with the imports starts in milliseconds. A copy of the server
# itself would hold its sockets.
_context = multiprocessing.get_context("forkserver")


class WorkerLostError(Exception):
    """The process has ended in the middle of its work."""


class WorkerFaultError(Exception):
    """The worker has met a fault of ours; the message is its traceback."""


class WorkerProcess:
    """A process with the model; it answers one call at a time."""

    def __init__(
        self,
        process: Any,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def start(cls, build: Callable[[], Model], limits: Limits) -> "WorkerProcess":
        """Start a process and wait until it has loaded the model.

        Args:
            build: Makes the model there; it is pickled.
            limits: See `ImageWorker`.

        Raises:
            WorkerLostError: It has ended instead.
        """
        _context.set_forkserver_preload(["classifier.serving.image_worker"])
        ours, theirs = socket.socketpair()
        process = _context.Process(target=_run, args=(theirs, build, limits), daemon=True)
        # The model travels with it, which takes a moment for a large one.
        await asyncio.to_thread(process.start)
        theirs.close()
        worker = cls(process, *await asyncio.open_unix_connection(sock=ours))
        await worker._receive()
        return worker

    async def answer(self, tasks: Sequence[Task], grant: AsyncGrant) -> list[Outcome]:
        """Return the outcomes for images.

        Raises:
            WorkerLostError: The process has ended.
            WorkerFaultError: There is a fault in our code.
        """
        head = {
            "sizes": [len(task.content) for task in tasks],
            "top_k": [task.top_k for task in tasks],
        }
        reply, _ = await self._call(head, b"".join(task.content for task in tasks), grant)
        return [Outcome(*fields) for fields in reply["outcomes"]]

    async def heat_map(self, content: bytes, index: int | None, grant: AsyncGrant) -> bytes:
        """Return a PNG, see `ImageWorker.heat_map`; raise as it does, and as `answer` does."""
        reply, png = await self._call({"heat_map": index}, content, grant)
        if "refused" in reply:
            raise UserError(reply["refused"])
        return png

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()
        self._writer.close()

    async def wait(self) -> None:
        """Wait until a killed process has ended."""
        await asyncio.to_thread(self._process.join)

    async def _call(
        self, head: dict[str, Any], body: bytes, grant: AsyncGrant
    ) -> tuple[dict[str, Any], bytes]:
        self._writer.writelines(_message(head, body))
        while True:
            reply, content = await self._receive()
            if "fault" in reply:
                raise WorkerFaultError(reply["fault"])
            if "needed" not in reply:
                return reply, content
            await grant(reply["needed"])
            self._writer.writelines(_message({}))

    async def _receive(self) -> tuple[dict[str, Any], bytes]:
        try:
            head, body = _LENGTHS.unpack(await self._reader.readexactly(_LENGTHS.size))
            text = await self._reader.readexactly(head)
            return json.loads(text), await self._reader.readexactly(body) if body else b""
        except (OSError, EOFError) as error:
            raise WorkerLostError from error


def _message(head: dict[str, Any], body: bytes = b"") -> list[bytes]:
    text = json.dumps(head).encode()
    return [_LENGTHS.pack(len(text), len(body)) + text, body]


def _run(connection: socket.socket, build: Callable[[], Model], limits: Limits) -> None:
    """Work until the server closes its end, or has ended."""
    # Ctrl-C and a service manager signal all processes, but what was accepted is answered first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    worker = ImageWorker(build(), limits)
    stream = connection.makefile("rb")

    def send(head: dict[str, Any], body: bytes = b"") -> None:
        connection.sendall(b"".join(_message(head, body)))

    def receive() -> tuple[dict[str, Any], bytes]:
        lengths = stream.read(_LENGTHS.size)
        if len(lengths) < _LENGTHS.size:
            os._exit(0)  # the server has closed its end
        head, body = _LENGTHS.unpack(lengths)
        return json.loads(stream.read(head)), stream.read(body)

    def grant(needed: int) -> None:
        send({"needed": needed})
        receive()

    send({})
    while True:
        try:
            send(*_reply(worker, *receive(), grant))
        except OSError:
            os._exit(0)
        except Exception:
            send({"fault": traceback.format_exc()})


def _reply(
    worker: ImageWorker, head: dict[str, Any], body: bytes, grant: Callable[[int], None]
) -> tuple[dict[str, Any], bytes]:
    if "heat_map" in head:
        try:
            return {}, worker.heat_map(body, head["heat_map"], grant)
        except UserError as error:
            return {"refused": str(error)}, b""
    tasks, place = [], 0
    for size, top_k in zip(head["sizes"], head["top_k"], strict=True):
        tasks.append(Task(body[place : place + size], top_k))
        place += size
    return {"outcomes": worker.answer(tasks, grant)}, b""
