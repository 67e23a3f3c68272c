"""Listen, answer, and end in an orderly way: what `classifier serve` runs."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import cast

import uvicorn

from classifier.core.errors import UserError, describe_os_error
from classifier.serving.app import build_app
from classifier.serving.connections import GuardedConnection, connection_class
from classifier.serving.request_log import RequestLog
from classifier.serving.service import Service

# After SIGTERM, clients that send requests all the time are told with an answer to go away.
_FAREWELL_SECONDS = 1.0
_HEARING_SECONDS = 0.3
_PAUSE = 0.05
# Of the time to the end, so much is kept for ending what does not end by itself.
_LAST_SHARE = 0.2


def serve_on(server: uvicorn.Server, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C; port 0 takes a free one. Raises OSError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    with listener, suppress(KeyboardInterrupt):  # Ctrl-C is the usual end, and no error
        # Until the server can replace the model, there is no other one.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        print(f"Serving on {address(listener)} (stop with Ctrl-C)", flush=True)
        # uvicorn finishes what it has accepted, and then sends itself the signal again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server.run(sockets=[listener])


def address(listener: socket.socket) -> str:
    """Return the address at which a browser on this machine finds the listener."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ClassifierServer(uvicorn.Server):
    """uvicorn, with an end that loses no request, and SIGHUP for another model."""

    def __init__(self, service: Service, log: RequestLog | None = None) -> None:
        """Prepare the server of a service."""
        self._service = service
        self._limits = service.options.limits
        config = uvicorn.Config(
            build_app(service, log),
            http=connection_class(self._limits, service.metrics),
            ws="none",
            server_header=False,
            proxy_headers=False,
            access_log=False,
            log_config=None,
            log_level="warning",
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGHUP, self._reload)
        except (ValueError, RuntimeError, NotImplementedError):
            return  # in a thread, as in tests, there are no signals

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end on the first signal; on the second one, end at once."""
        if self.should_exit:
            self._service.abort()
            os._exit(128 + sig)
        self._service.stopping.set()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within `shutdown_seconds`, after answering what was read.

        Clients are first told to go away, by the answers to their requests. Then nothing more is
        accepted, and what is under way is finished. Uploads that are not complete in time get a
        503.
        """
        begun, seconds = time.monotonic(), self._limits.shutdown_seconds
        self._service.stopping.set()
        farewell = min(_FAREWELL_SECONDS, seconds * _LAST_SHARE)
        while self._connections() and time.monotonic() - begun < farewell:
            await asyncio.sleep(_PAUSE)
        await self._stop_listening(sockets or [])
        for connection in self._connections():
            if connection.is_idle:
                connection.dismiss("The server is stopping.")
        while self._connections() and time.monotonic() - begun < seconds * (1 - _LAST_SHARE):
            await asyncio.sleep(_PAUSE)
        for connection in self._connections():
            connection.dismiss("The server is stopping.")
        left = max(_PAUSE, seconds - (time.monotonic() - begun) - _PAUSE)
        try:
            await asyncio.wait_for(self.lifespan.shutdown(), left)
        except TimeoutError:
            self._service.abort()

    async def _stop_listening(self, sockets: Sequence[socket.socket]) -> None:
        """Accept nobody any more, and hear those out who were accepted a moment ago."""
        for server in self.servers:
            server.close()
        for one in sockets:
            one.close()
        await asyncio.sleep(_HEARING_SECONDS)

    def _connections(self) -> Sequence[GuardedConnection]:
        return cast("list[GuardedConnection]", list(self.server_state.connections))

    def _reload(self) -> None:
        self._reloading = asyncio.ensure_future(self._service.reload())


def read_key(path: Path) -> str:
    """Return the API key in a file, stripped; raise UserError where it is weak."""
    try:
        key = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        key = ""
    except OSError as error:
        raise UserError(
            f"--api-key-file: {describe_os_error(error)}: name a file that holds the key."
        ) from None
    if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"{path} holds no API key: write at least 16 letters and digits, such as "
            "`openssl rand -hex 24` prints."
        )
    if path.stat().st_mode & 0o022:
        raise UserError(f"{path} may be changed by others: run `chmod 600 {path}`.")
    return key
