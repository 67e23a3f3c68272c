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
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from classifier.core.errors import UserError
from classifier.inference.predict import Model
from classifier.serving.limits import Limits
from classifier.serving.workers.image_worker import ImageWorker, Outcome, Task

# Waits until so many bytes may be used for decoding.
AsyncGrant = Callable[[int], Awaitable[None]]
# Waits for what a worker was asked for.
Reply = Callable[[], Awaitable[Any]]

_LENGTHS = struct.Struct("!II")
# A process that is copied from one with the imports starts in milliseconds. A copy of the server
# itself would hold its sockets.
_context = multiprocessing.get_context("forkserver")


class WorkerLostError(Exception):
    """The process has ended in the middle of its work."""


class WorkerFaultError(Exception):
    """The worker has met a fault of ours; the message is its traceback."""


class WorkerProcess:
    """A process with the model; it answers one call after the other.

    A call may be sent while the one before is under way, so that the process never waits for the
    server. The replies must be awaited in the order of the calls.
    """

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
        _context.set_forkserver_preload(["classifier.serving.workers.image_worker"])
        ours, theirs = socket.socketpair()
        process = _context.Process(target=_run, args=(theirs, build, limits), daemon=True)
        # The model travels with it, which takes a moment for a large one.
        await asyncio.to_thread(process.start)
        theirs.close()
        worker = cls(process, *await asyncio.open_unix_connection(sock=ours))
        await worker._receive()
        return worker

    def answer(
        self, tasks: Sequence[Task], grant: AsyncGrant, decoded_all: Callable[[], None]
    ) -> Reply:
        """Send images; the reply is their outcomes.

        It raises WorkerLostError where the process has ended, and WorkerFaultError where there is a
        fault in our code.
        """
        sizes = [len(task.content) for task in tasks]
        head = {"sizes": sizes, "top_k": [task.top_k for task in tasks]}
        self._writer.writelines(_message(head, b"".join(task.content for task in tasks)))

        async def reply() -> list[Outcome]:
            head, _ = await self._reply(grant, decoded_all)
            return [Outcome(*fields) for fields in head["outcomes"]]

        return reply

    def heat_map(self, content: bytes, index: int | None, grant: AsyncGrant) -> Reply:
        """Send an image; the reply is a PNG. It raises as `ImageWorker.heat_map` does besides."""
        self._writer.writelines(_message({"heat_map": index}, content))

        async def reply() -> bytes:
            head, png = await self._reply(grant)
            if "refused" in head:
                raise UserError(head["refused"])
            return png

        return reply

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()
        self._writer.close()

    async def wait(self) -> None:
        """Wait until a killed process has ended."""
        await asyncio.to_thread(self._process.join)

    async def _reply(
        self, grant: AsyncGrant, decoded_all: Callable[[], None] | None = None
    ) -> tuple[dict[str, Any], bytes]:
        while True:
            head, body = await self._receive()
            if "fault" in head:
                raise WorkerFaultError(head["fault"])
            if "needed" in head:
                await grant(head["needed"])
                self._writer.writelines(_message({"granted": True}))
            elif "decoded" in head:
                assert decoded_all is not None
                decoded_all()
            else:
                return head, body

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

    ahead: deque[tuple[dict[str, Any], bytes]] = deque()

    def receive() -> tuple[dict[str, Any], bytes]:
        lengths = stream.read(_LENGTHS.size)
        if len(lengths) < _LENGTHS.size:
            os._exit(0)  # the server has closed its end
        head, body = _LENGTHS.unpack(lengths)
        return json.loads(stream.read(head)), stream.read(body)

    def grant(needed: int) -> None:
        send({"needed": needed})
        # A call that was sent ahead may stand before the answer.
        while "granted" not in (message := receive())[0]:
            ahead.append(message)

    def decoded_all() -> None:
        send({"decoded": True})

    send({})
    while True:
        try:
            call = ahead.popleft() if ahead else receive()
            send(*_reply(worker, *call, grant, decoded_all))
        except OSError:
            os._exit(0)
        except Exception:
            send({"fault": traceback.format_exc()})


def _reply(
    worker: ImageWorker,
    head: dict[str, Any],
    body: bytes,
    grant: Callable[[int], None],
    decoded_all: Callable[[], None],
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
    return {"outcomes": worker.answer(tasks, grant, decoded_all)}, b""
