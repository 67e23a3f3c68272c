"""Log lines as JSON, for programs that collect them.

A line of a request says what it cost and what was answered. It holds no image, no name of a file,
no key and no address of a client.
"""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO


class LoggedCall(Protocol):
    """What the log reads of a request, see `middleware`."""

    scope: Any
    started: float
    status: int | None
    bytes: int
    id: str


class RequestLog:
    """Writes a line for each request."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`, or to the standard error."""
        self._stream = stream or sys.stderr

    def write(self, call: LoggedCall) -> None:
        """Write the line of a request that was answered."""
        entry = {
            "time": _now(),
            "level": "info",
            "event": "request",
            "id": call.id,
            "method": call.scope["method"],
            "path": call.scope["path"],
            "status": call.status,
            "milliseconds": round(1e3 * (time.perf_counter() - call.started), 3),
            "bytes": call.bytes,
            **call.scope["state"].get("log", {}),
        }
        print(json.dumps(entry), file=self._stream, flush=True)


class JsonFormatter(logging.Formatter):
    """Formats what Python's logging gets as JSON lines, tracebacks among them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        entry = {
            "time": _now(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def log_as_json() -> None:
    """Let every log record become a JSON line on the standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
