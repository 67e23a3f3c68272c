"""The outermost middleware: every answer is counted, logged, and has the security headers."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier.serving.error_handlers import error_response
from classifier.serving.limits import Limits
from classifier.serving.metrics import ServingMetrics
from classifier.serving.request_log import RequestLog
from classifier.serving.security_headers import SECURITY_HEADERS

_log = logging.getLogger(__name__)
_POLICY = b"content-security-policy"
# An id of another system is taken over where no log or header can be led astray by it.
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class OutermostMiddleware:
    """Answers what goes wrong below it, limits request headers, and adds headers to all answers."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: ServingMetrics,
        limits: Limits,
        *,
        allowed_hosts: Collection[str] = (),
        stopping: asyncio.Event | None = None,
        log: RequestLog | None = None,
    ) -> None:
        """Wrap `app`.

        Args:
            app: The application.
            metrics: Count the answers.
            limits: Of request headers.
            allowed_hosts: Names, without the port, that the header Host may have; empty for all.
            stopping: Set when the server is about to end; connections then end with their answer.
            log: Gets a line for each request; None for no log.
        """
        self._app, self._metrics, self._limits = app, metrics, limits
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self._stopping, self._log = stopping, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(scope, receive, send)
        app = self._refusal(scope) or self._app
        call_send = self._sender(call)
        if scope["method"] == "HEAD":
            # As GET; the server sends the header alone.
            scope = {**scope, "method": "GET"}
        try:
            await app(scope, call.receive, call_send)
        except Exception:
            _log.exception("a fault of the server; request %s", call.id)
            if call.status is None:
                fault = error_response(500, "The server has a fault; its log says which.")
                await fault(scope, receive, call_send)
            else:
                raise
        finally:
            if self._log is not None:
                self._log.write(call)

    def _sender(self, call: "_Call") -> Send:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The connection may have answered, and counted, in the place of the application.
                refused = call.scope["state"].get("refused")
                call.status = refused or message["status"]
                if refused is None:
                    self._metrics.count_request(message["status"])
                message = {**message, "headers": self._headers(call, message)}
            elif call.scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await call.send(message)

        return send

    def _headers(self, call: "_Call", message: Message) -> list[tuple[bytes, bytes]]:
        given = list(message["headers"])
        has_policy = any(name == _POLICY for name, _ in given)
        given += [one for one in SECURITY_HEADERS if not (has_policy and one[0] == _POLICY)]
        given.append((b"x-request-id", call.id.encode()))
        if call.body_is_open or (self._stopping is not None and self._stopping.is_set()):
            given.append((b"connection", b"close"))
        return given

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """Return what answers a request with a bad header; None for a good one."""
        limits, headers = self._limits, scope["headers"]
        size = sum(len(name) + len(value) for name, value in headers)
        if size > limits.header_bytes or len(headers) > limits.header_count:
            return error_response(
                431,
                f"The header is too large; {limits.header_count} fields with "
                f"{limits.header_bytes:,} bytes are the limit.",
            )
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 and scope["http_version"] != "1.0":
            return error_response(400, "The request must have one header Host.")
        if self._allowed_hosts and _without_port(b"".join(hosts)) not in self._allowed_hosts:
            return error_response(400, "The header Host names no host of this server.")
        return None


class _Call:
    """A request and what is known about its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.send, self._receive = scope, send, receive
        self.started = time.perf_counter()
        self.status: int | None = None
        self.bytes = 0
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        self.id = given.decode() if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        # Of a request without a body, nothing is read.
        self.body_is_open = (
            headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        )
        scope.setdefault("state", {})["request_id"] = self.id

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes += len(message.get("body", b""))
            self.body_is_open = message.get("more_body", False)
        return message


def _without_port(host: bytes) -> str:
    text = host.decode("latin-1").lower()
    return re.sub(r":\d*$", "", text)
