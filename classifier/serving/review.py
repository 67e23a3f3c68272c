"""A local page on which a person decides about labels; it appends to data/corrections.csv."""

import io
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response
from PIL import Image
from pydantic import BaseModel
from starlette.middleware.trustedhost import TrustedHostMiddleware

from classifier.core.errors import UserError, describe_os_error
from classifier.serving.error_handlers import add_error_handlers, error_response
from classifier.serving.limits import Limits
from classifier.serving.metrics import ServingMetrics
from classifier.serving.middleware import OutermostMiddleware
from classifier.serving.pages import add_page
from classifier.serving.refused import RefusedError
from classifier.sources.corrections import (
    EXCLUDE,
    Correction,
    read_corrections,
    write_corrections,
)

# The page answers this machine alone: a decision changes a file of the project.
HOST = "127.0.0.1"
_ENLARGED = 224  # pixels; smaller images are shown with visible pixels


class Shown(BaseModel):
    """An image on the page: its row in the data set, its path, label and split."""

    row: int
    path: str
    label: str
    split: str


class ReviewCase(Shown):
    """An image to decide about.

    Attributes:
        reason: Why a person should look at it.
        suggested: Class that the model suggests.
        confidence: Probability of the suggested class.
        nearest: Training images with the most similar features, duplicates left out.
        similar: Duplicates, and other images with similar features.
    """

    reason: str
    suggested: str
    confidence: float
    nearest: list[Shown]
    similar: list[Shown]


class ReviewDecision(BaseModel):
    """What a person decides about a case: keep its label, give it another one, or exclude it."""

    row: int
    action: Literal["keep", "relabel", "exclude"]
    label: str | None = None


@dataclass
class Review:
    """The cases, and the decisions of this session.

    Attributes:
        classes: Names of the classes.
        cases: By row, in the order in which they are shown.
        image: The stored image of a row, uint8 `(S, S, 3)`.
        heat_map: The same with the regions that support the suggested class; None without.
        corrections: The file that decisions are appended to.
    """

    classes: Sequence[str]
    cases: dict[int, ReviewCase]
    image: Callable[[int], np.ndarray]
    heat_map: Callable[[int], np.ndarray] | None
    corrections: Path
    _decided: list[Correction] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def decided(self) -> list[str]:
        """Paths of the images that were decided in this session, in their order."""
        with self._lock:
            return [one.path for one in self._decided]

    def decide(self, decision: ReviewDecision) -> None:
        """Append a decision to the file.

        Raises:
            RefusedError: It is none about these cases, or one about an image that another window
                has decided.
            UserError: The file is damaged; it stays as it is.
            OSError: The file cannot be read or written.
        """
        case = self.cases.get(decision.row)
        if case is None:
            raise RefusedError(404, f"There is no case {decision.row}.")
        label = {"keep": case.label, "exclude": EXCLUDE}.get(decision.action, decision.label)
        if decision.action == "relabel" and label not in self.classes:
            raise RefusedError(422, f"{label!r} is no class of this data set.")
        assert label is not None
        reason = f"{decision.action} in review; the model said {case.suggested}"
        correction = Correction(case.path, label, f"{reason} ({case.confidence:.0%})")
        with self._lock:
            if any(one.path == case.path for one in self._decided):
                raise RefusedError(
                    409, f"{case.path} was decided in another window: reload this page."
                )
            write_corrections(self.corrections, [*read_corrections(self.corrections), correction])
            self._decided.append(correction)

    def undo(self) -> str:
        """Remove the last decision of this session from the file; return the image's path.

        Raises as `decide` does; the decision can then be undone later.
        """
        with self._lock:
            if not self._decided:
                raise RefusedError(409, "There is no decision to undo.")
            last = self._decided[-1]
            rows = read_corrections(self.corrections)
            if last in rows:
                # The last of equal rows.
                del rows[len(rows) - 1 - rows[::-1].index(last)]
            write_corrections(self.corrections, rows)
            self._decided.pop()
            return last.path


def build_review_app(review: Review) -> FastAPI:
    """Return the application with the page, its images and the decisions."""
    app = FastAPI(title="Review of labels", docs_url=None, redoc_url=None, openapi_url=None)
    add_error_handlers(app)

    @app.exception_handler(UserError)
    async def damaged(_request: Request, error: UserError) -> Response:
        return error_response(409, f"Nothing is written: {error}")

    @app.exception_handler(OSError)
    async def unreachable(_request: Request, error: OSError) -> Response:
        return error_response(409, f"Nothing is written: {describe_os_error(error)}")

    add_page(app, "/", "review.html")

    @app.get("/cases")
    def cases() -> dict[str, Any]:
        """Return the classes and all cases."""
        return {
            "classes": list(review.classes),
            "heat_maps": review.heat_map is not None,
            "file": str(review.corrections),
            "cases": list(review.cases.values()),
            "decided": review.decided,
        }

    @app.get("/images/{row}")
    def image(row: int) -> Response:
        """Return the image of a row as PNG."""
        return _png(_look_up(review.image, row))

    @app.get("/heat-maps/{row}")
    def heat_map(row: int) -> Response:
        """Return the image of a case with the regions that support the suggested class."""
        if review.heat_map is None or row not in review.cases:
            raise RefusedError(404, "There is no heat map of this image.")
        return _png(review.heat_map(row))

    @app.post("/decisions")
    def decide(decision: ReviewDecision) -> dict[str, Any]:
        """Append a decision to the file of corrections."""
        review.decide(decision)
        return {"path": review.cases[decision.row].path, "decided": review.decided}

    @app.delete("/decisions/last")
    def undo() -> dict[str, Any]:
        """Remove the last decision of this session."""
        return {"path": review.undo(), "decided": review.decided}

    limits = Limits()
    metrics = ServingMetrics("review", lambda: 0)
    app.add_middleware(OutermostMiddleware, metrics=metrics, limits=limits)
    # A page of another site cannot reach this server under a name of its own (DNS rebinding).
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return app


def review_server(review: Review) -> uvicorn.Server:
    """Return the server of the page."""
    return uvicorn.Server(
        uvicorn.Config(
            build_review_app(review),
            ws="none",
            server_header=False,
            proxy_headers=False,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
    )


def _look_up(image: Callable[[int], np.ndarray], row: int) -> np.ndarray:
    if row >= 0:
        with suppress(IndexError):
            return image(row)
    raise RefusedError(404, f"There is no image {row}.")


def _png(pixels: np.ndarray) -> Response:
    shown = Image.fromarray(pixels)
    if shown.width < _ENLARGED:
        factor = -(-_ENLARGED // shown.width)
        size = (shown.width * factor, shown.height * factor)
        shown = shown.resize(size, Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", compress_level=1)
    return Response(buffer.getvalue(), media_type="image/png")
