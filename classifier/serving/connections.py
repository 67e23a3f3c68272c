"""Connections of the server: uvicorn's, with deadlines and errors as JSON."""

import asyncio
import json
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from classifier.serving.uploads import Limits


def connection_class(limits: Limits) -> type[H11Protocol]:
    """Return the class of connections with these limits, for the option `http` of uvicorn.

    uvicorn makes the connections itself and passes no limits. Its class `H11Protocol` is not part
    of its public interface: seen with uvicorn 0.54.0, and a test checks what is used of it.
    """
    return type("GuardedConnection", (GuardedConnection,), {"limits": limits})


class GuardedConnection(H11Protocol):
    """A connection that ends where a client sends too slowly, and answers bad HTTP with JSON.

    uvicorn alone waits for the rest of a request without a limit of time.
    """

    limits: Limits
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse a connection beyond the limit; else begin to count its seconds."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self._refuse(503, "Too many connections; try again.")
        else:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the seconds of a request."""
        self._stop_deadline()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Count seconds while a request has begun and is not complete."""
        super().handle_events()
        begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
        if begun or self.conn.their_state is h11.SEND_BODY:
            self._start_deadline()
        else:
            self._stop_deadline()

    def send_400_response(self, msg: str) -> None:
        """Answer bad HTTP with JSON."""
        limit = self.limits.header_bytes
        self._refuse(400, f"{msg} It must be HTTP/1.1 with a header of at most {limit:,} bytes.")

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.upload_seconds, self._too_slow)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        seconds = self.limits.upload_seconds
        self._refuse(408, f"The request was not complete after {seconds:g} seconds.")

    def _refuse(self, status: int, reason: str) -> None:
        """Answer, unless an answer has begun, and end the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": reason}).encode()
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.conn.send_failed()
        self.transport.close()
