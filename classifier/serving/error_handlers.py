"""Error handlers: every error becomes JSON with a reason."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from classifier.serving.refused import RefusedError


def error_response(status: int, reason: str, headers: Any = None) -> JSONResponse:
    """Return a response as `ErrorResponse` describes it."""
    return JSONResponse({"error": reason}, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Add handlers for all errors that are a client's; `middleware` answers faults of ours."""

    @app.exception_handler(RefusedError)
    async def refused(_request: Request, error: RefusedError) -> JSONResponse:
        return error_response(error.status, error.reason, error.headers)

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        return error_response(error.status_code, f"{error.detail}.", error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        reasons = [f"{entry['loc'][-1]}: {entry['msg']}." for entry in error.errors()]
        return error_response(422, " ".join(reasons))

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return error_response(400, "The request ended too early.")
