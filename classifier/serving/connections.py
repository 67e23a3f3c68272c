"""Connections of the server: uvicorn's, with deadlines, limits, and errors as JSON."""

import asyncio
import json
import time
from collections import Counter
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from classifier.serving.limits import Limits
from classifier.serving.metrics import ServingMetrics
from classifier.serving.security_headers import SECURITY_HEADERS

# After an answer to a request that is not complete, a client may go on sending for so long, and as
# much as a body may have: it would lose the answer if the connection ended with unread bytes.
_LINGER_SECONDS = 2.0
# Chunks of a body must have this many bytes on average, once there are many: each costs time.
_CHUNK_BYTES, _MANY_CHUNKS = 64, 1024
# Requests that may wait on one connection for the answer to the one before.
_PIPELINED = 8
_CHECK_SECONDS = 1.0


def connection_class(limits: Limits, metrics: ServingMetrics) -> type[HttpToolsProtocol]:
    """Return the class of connections with these limits, for the option `http` of uvicorn.

    uvicorn makes the connections itself and passes no limits. Its class `HttpToolsProtocol` is not
    part of its public interface: seen with uvicorn 0.54.0, and a test checks what is used of it.
    """
    return type("GuardedConnection", (GuardedConnection,), {"limits": limits, "metrics": metrics})


class GuardedConnection(HttpToolsProtocol):
    """A connection that ends where a client sends or reads too slowly, or too much.

    uvicorn alone waits for the rest of a request, and for a client to read, without a limit of
    time; it goes on reading a body after it has refused it.
    """

    limits: Limits
    metrics: ServingMetrics
    connected = 0.0
    _begun: float | None = None  # when the first byte of the incomplete request arrived
    _head_bytes = _body_bytes = _chunks = 0
    _in_body = False
    _discarded: int | None = None  # bytes that came after the end; None before it
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for the connection where there are too many; begin to count its seconds."""
        # What uvicorn closes is closed by `finish`.
        self._socket, self._outer = transport, _Closing(transport, self)
        super().connection_made(cast("asyncio.Transport", self._outer))
        self.connected = self._begun = time.monotonic()
        if len(self.connections) > self.limits.max_connections and not self._make_room():
            self.refuse(503, "Too many connections; try again.")
        else:
            self._set_timer(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._write_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, unless the connection is ending; watch a request that is not complete."""
        if self._discarded is not None:
            self._discarded += len(data)
            if self._discarded > self.limits.max_body:
                self._socket.abort()
            return
        if self._begun is None:
            self._begun, self._head_bytes = time.monotonic(), 0
        if not self._in_body:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._discarded is not None or self._begun is None:
            return
        if not self._in_body and self._head_bytes > self.limits.header_bytes:
            self.refuse(
                431, f"The header is too large; {self.limits.header_bytes:,} bytes is the limit."
            )
        elif self._timer is None:
            self._set_timer(_CHECK_SECONDS)

    def on_message_begin(self) -> None:
        """Begin to count the seconds of a request that came together with the one before."""
        if self._begun is None:
            self._begun = time.monotonic()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to count the body."""
        if self._discarded is not None:
            return
        self._in_body, self._body_bytes, self._chunks = True, 0, 0
        # The parser would take the body for something else: for no body, or the next request.
        fields = dict(self.headers)
        has_body = fields.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in fields
        if has_body and cast("Any", self.parser).should_upgrade():
            self.refuse(400, "Send a request with a body in HTTP/1.1, without the header Upgrade.")
            return
        super().on_headers_complete()
        if len(self.pipeline) > _PIPELINED:
            self.refuse(400, f"At most {_PIPELINED} requests may wait on one connection.")

    def on_body(self, body: bytes) -> None:
        """Count the body; refuse one that comes in crumbs."""
        if self._discarded is not None:
            return
        self._body_bytes += len(body)
        self._chunks += 1
        if self._chunks > _MANY_CHUNKS + self._body_bytes // _CHUNK_BYTES:
            self.refuse(400, f"Send chunks of at least {_CHUNK_BYTES} bytes.")
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop counting: the client has sent all that it had to."""
        if self._discarded is not None:
            return
        self._in_body, self._begun, self._head_bytes = False, None, 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End the connection after an answer to a request that is not complete."""
        super().on_response_complete()
        if self._in_body:
            self.finish()

    def send_400_response(self, msg: str) -> None:
        """Answer bad HTTP with JSON."""
        limit = self.limits.header_bytes
        self.refuse(400, f"{msg} It must be HTTP/1.1 with a header of at most {limit:,} bytes.")

    def pause_writing(self) -> None:
        """Give the client some seconds to read."""
        super().pause_writing()
        self._limit_writing()

    def resume_writing(self) -> None:
        """Stop counting the seconds: the client has read."""
        super().resume_writing()
        if self._write_timer is not None and self._discarded is None:
            self._write_timer.cancel()
            self._write_timer = None

    @property
    def waits_for_client(self) -> bool:
        """Whether the next step is the client's: to send a request, or the rest of one."""
        answered = self.cycle is None or self.cycle.response_complete
        return self._discarded is None and (answered or self._in_body)

    @property
    def is_ending(self) -> bool:
        """Whether no more requests are read."""
        return self._discarded is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has come that is not answered."""
        begun = self._begun is not None and self._head_bytes > 0
        return self.waits_for_client and not begun

    def finish(self) -> None:
        """Send what is left to send and end the connection, with a limit of time for both."""
        if self._discarded is not None or self._socket.is_closing():
            return
        self._outer.flush()
        self._discarded = 0
        if self._begun is None:
            self._socket.close()
            if self._socket.get_write_buffer_size():
                self._limit_writing()
            return
        if self._socket.can_write_eof():
            self._socket.write_eof()
        self.flow.resume_reading()
        self._set_timer(_LINGER_SECONDS)

    def refuse(self, status: int, reason: str) -> None:
        """Answer, unless an answer has begun, and end the connection."""
        cycle = self.cycle
        waits = cycle is not None and not cycle.response_complete
        if not (waits and cycle.response_started):
            body = json.dumps({"error": reason}).encode()
            lines = [
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
                b"content-type: application/json",
                f"content-length: {len(body)}".encode(),
                b"connection: close",
                *(name + b": " + value for name, value in SECURITY_HEADERS),
            ]
            self._outer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            self.metrics.count_request(status)
        if waits:
            # The application sees a client that has gone; its answer goes nowhere.
            cycle.scope["state"]["refused"] = status  # type: ignore[typeddict-item]
            cycle.disconnected = True
            cycle.message_event.set()
        self.finish()

    def _make_room(self) -> bool:
        """End the connection that waits for its client and is the oldest of its address.

        The address is the one with the most connections. Returns whether there was one.
        """
        others = cast("set[GuardedConnection]", self.connections) - {self}
        idle = [one for one in others if one.waits_for_client]
        if not idle:
            return False
        counts = Counter(_address(one) for one in others)
        oldest = min(idle, key=lambda one: (-counts[_address(one)], one.connected))
        oldest.dismiss("Too many connections; try again.")
        return True

    def dismiss(self, reason: str) -> None:
        """End the connection: in silence between requests, else with a 503."""
        if self.is_idle:
            self._begun = None
            self.finish()
        else:
            self.refuse(503, reason)

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._check)

    def _check(self) -> None:
        """End a connection whose request takes too long."""
        self._timer = None
        if self._discarded is not None:
            self._socket.abort()
            return
        if self._begun is None:
            return
        seconds, limits = time.monotonic() - self._begun, self.limits
        allowed = limits.upload_seconds if self._in_body else limits.header_seconds
        if seconds >= allowed:
            self.refuse(408, f"The request was not complete after {allowed:g} seconds.")
        elif self._is_too_slow(seconds):
            self.refuse(408, f"The body must bring at least {limits.min_rate:,} bytes a second.")
        else:
            self._set_timer(min(_CHECK_SECONDS, allowed - seconds))

    def _is_too_slow(self, seconds: float) -> bool:
        late = self._in_body and seconds > self.limits.header_seconds and not self.flow.read_paused
        return late and self._body_bytes < self.limits.min_rate * seconds

    def _limit_writing(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_seconds, self._socket.abort)


class _Closing:
    """The transport that uvicorn sees.

    Its `close` is the `finish` of the connection. What is written in one turn of the loop, such as
    the header and the body of an answer, is sent at once, which halves the system calls.
    """

    def __init__(self, transport: asyncio.Transport, connection: GuardedConnection) -> None:
        self._transport, self._connection = transport, connection
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        # The loop of uvloop raises an error where that of asyncio ignores what comes too late.
        if self.is_closing():
            return
        if not self._pieces:
            self._connection.loop.call_soon(self.flush)
        self._pieces.append(data)

    def flush(self) -> None:
        if self._pieces and not self._transport.is_closing():
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()

    def close(self) -> None:
        self._connection.finish()

    def is_closing(self) -> bool:
        return self._connection.is_ending or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _address(connection: GuardedConnection) -> str:
    return connection.client[0] if connection.client else ""
