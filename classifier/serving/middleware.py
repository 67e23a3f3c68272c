"""Middleware: metrics, a limit of request headers, and security headers."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier.serving.error_handlers import error_response
from classifier.serving.metrics import ServingMetrics
from classifier.serving.uploads import Limits


class HeadersMiddleware:
    """Counts responses, limits the size of request headers, and adds security headers."""

    _HEADERS = (
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    )
    _POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

    def __init__(self, app: ASGIApp, metrics: ServingMetrics, limits: Limits) -> None:
        """Wrap `app`."""
        self._app, self._metrics, self._limits = app, metrics, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 431 where its header is too large."""
        app = self._app
        if scope["type"] == "http" and self._too_much(scope["headers"]):
            limits = self._limits
            app = error_response(
                431,
                f"The header is too large; {limits.header_count} fields with "
                f"{limits.header_bytes:,} bytes are the limit.",
            )

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_request(message["status"])
                headers = [*message["headers"], *self._HEADERS]
                if not any(name == self._POLICY[0] for name, _ in headers):
                    headers.append(self._POLICY)
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_with_headers)

    def _too_much(self, headers: list[tuple[bytes, bytes]]) -> bool:
        # uvicorn does not apply its own limit to a header that arrives in one piece.
        size = sum(len(name) + len(value) for name, value in headers)
        return size > self._limits.header_bytes or len(headers) > self._limits.header_count
