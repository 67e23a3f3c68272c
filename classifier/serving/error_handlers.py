"""What every answer of the server has, and how it refuses: JSON with a reason."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier.serving.metrics import ServingMetrics
from classifier.serving.uploads import Limits, RefusedError


def _problem(status: int, reason: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": reason}, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Say in a sentence why there is no answer, also where the fault is ours."""

    @app.exception_handler(RefusedError)
    async def refused(_request: Request, error: RefusedError) -> JSONResponse:
        return _problem(error.status, error.reason, error.headers)

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, f"{error.detail}.", error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        reasons = [f"{entry['loc'][-1]}: {entry['msg']}." for entry in error.errors()]
        return _problem(422, " ".join(reasons))

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return _problem(400, "The request ended too early.")

    @app.exception_handler(Exception)
    async def fault(_request: Request, _error: Exception) -> JSONResponse:
        return _problem(500, "The server has a fault; its log says which.")


class Outermost:
    """Counts answers, and adds the headers that keep browsers from guessing and framing."""

    _HEADERS = (
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    )
    _POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

    def __init__(self, app: ASGIApp, metrics: ServingMetrics, limits: Limits) -> None:
        self._app, self._metrics, self._limits = app, metrics, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and self._too_much(scope["headers"]):
            limits = self._limits
            app = _problem(
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
        # What comes in one piece is not held against uvicorn's limit.
        size = sum(len(name) + len(value) for name, value in headers)
        return size > self._limits.header_bytes or len(headers) > self._limits.header_count
