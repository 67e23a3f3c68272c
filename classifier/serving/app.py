"""The routes of the server: predictions, heat maps, the model, health and metrics."""

import asyncio
import io
import secrets
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST

from classifier.core.errors import UserError
from classifier.inference.occlusion import blend, occlusion_map
from classifier.inference.predict import Model
from classifier.processing.images import center_crop
from classifier.serving.error_handlers import add_error_handlers
from classifier.serving.inference_queue import BusyError, InferenceQueue, TimedAnswer
from classifier.serving.metrics import ServingMetrics
from classifier.serving.middleware import HeadersMiddleware
from classifier.serving.pages import add_pages
from classifier.serving.schemas import (
    ERROR_RESPONSES,
    HEAT_MAP,
    REQUEST_BODY,
    BatchPredictResponse,
    Health,
    ModelInfo,
    PredictResponse,
    answer_content,
)
from classifier.serving.uploads import Limits, RefusedError, Upload, UploadBudget, read_uploads


@dataclass(frozen=True)
class Served:
    """What is served, and how.

    Attributes:
        model: The model that answers; its threads are those of one call.
        info: What `/model` answers, see `ModelInfo`.
        limits: What a request may bring.
        threads: Images that are answered at the same time.
        batch_size: Images that one thread may give the model at once.
        api_key: Key that a request must have; None lets everybody in.
    """

    model: Model
    info: dict[str, Any]
    limits: Limits
    threads: int
    batch_size: int
    api_key: str | None = None


def build_app(served: Served) -> FastAPI:
    """Return the application, whose threads run from its startup to its shutdown."""
    limits = served.limits
    queue = InferenceQueue(
        served.model,
        threads=served.threads,
        capacity=limits.max_waiting,
        max_pixels=limits.max_pixels,
        batch_size=served.batch_size,
    )
    metrics = ServingMetrics(served.model.version, lambda: queue.waiting)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        await asyncio.to_thread(queue.close)

    app = FastAPI(
        title="Image classifier",
        version=served.model.version,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    add_error_handlers(app)
    add_pages(app)
    _add_health(app, queue)
    key = [Depends(_key_check(served.api_key))] if served.api_key is not None else []
    budget = UploadBudget(limits)
    _add_predict(app, served, queue, metrics, budget, key)
    _add_heat_map(app, served, budget, key)

    @app.get("/model", dependencies=key, responses=_error_responses(401) if key else {})
    async def model() -> ModelInfo:
        """Describe the model that is served."""
        return ModelInfo(**served.info)

    @app.get("/metrics", dependencies=key, response_class=Response, include_in_schema=False)
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    app.add_middleware(HeadersMiddleware, metrics=metrics, limits=limits)
    return app


def _add_predict(
    app: FastAPI,
    served: Served,
    queue: InferenceQueue,
    metrics: ServingMetrics,
    budget: UploadBudget,
    key: list[Any],
) -> None:
    limits = served.limits

    @app.post(
        "/predict",
        dependencies=key,
        response_model=PredictResponse | BatchPredictResponse,
        responses=ERROR_RESPONSES,
        openapi_extra=REQUEST_BODY,
    )
    async def predict(
        request: Request, top_k: Annotated[int, Query(ge=1, le=1000)] = 5
    ) -> JSONResponse:
        """Classify one image, or each of several."""
        with budget.hold(request):
            uploads = await read_uploads(request, limits)
            arrived = time.perf_counter()
            outcomes = await _answers(queue, uploads, limits.answer_seconds)
        for outcome in outcomes:
            if isinstance(outcome, TimedAnswer):
                metrics.count_image(outcome)
            else:
                metrics.count_unreadable()
        seconds = time.perf_counter() - arrived
        metrics.count_seconds(seconds)
        about = {"model": served.model.version, "milliseconds": round(1e3 * seconds, 3)}
        return JSONResponse(_content(uploads, outcomes, top_k) | about)


def _add_heat_map(app: FastAPI, served: Served, budget: UploadBudget, key: list[Any]) -> None:
    # A map takes as long as dozens of answers; two at once would delay the images.
    drawing = asyncio.Lock()

    @app.post(
        "/heatmap",
        dependencies=key,
        response_class=Response,
        responses=HEAT_MAP,
        openapi_extra=REQUEST_BODY,
    )
    async def heat_map(
        request: Request, index: Annotated[int | None, Query(ge=0)] = None
    ) -> Response:
        """Draw the image regions that support a class: the most probable or that of `index`."""
        with budget.hold(request):
            uploads = await read_uploads(request, served.limits)
            if len(uploads) > 1:
                raise RefusedError(400, "Send one image for a heat map.")
            if drawing.locked():
                raise RefusedError(
                    503, "Another heat map is being drawn; try again.", Retry_After="1"
                )
            async with drawing:
                content = await asyncio.to_thread(_heat_png, served, uploads[0], index)
        return Response(content, media_type="image/png")


def _heat_png(served: Served, upload: Upload, index: int | None) -> bytes:
    model = served.model
    classes = len(model.spec.classes)
    if index is not None and index >= classes:
        raise RefusedError(422, f"index: the model has {classes} classes, from 0 on.")
    try:
        pixels = model.decode(upload.content, served.limits.max_pixels)
    except UserError as error:
        raise RefusedError(422, f"{upload.name}: {error}") from None
    if index is None:
        index = model.answers(pixels[np.newaxis])[0].best.index
    image = center_crop(pixels, model.spec.input_size)
    heat = occlusion_map(model.predictor, image, index, model.spec.mean)
    buffer = io.BytesIO()
    Image.fromarray(blend(image[np.newaxis], heat[np.newaxis])[0]).save(buffer, "PNG")
    return buffer.getvalue()


def _content(
    uploads: list[Upload], outcomes: list[TimedAnswer | UserError], top_k: int
) -> dict[str, Any]:
    """Return the answer for one image, or those for several; raise RefusedError without any."""
    problems = [
        f"{upload.name}: {outcome}"
        for upload, outcome in zip(uploads, outcomes, strict=True)
        if isinstance(outcome, UserError)
    ]
    if len(problems) == len(uploads):
        raise RefusedError(422, " ".join(problems))
    contents = [
        {"error": str(outcome)}
        if isinstance(outcome, UserError)
        else answer_content(outcome.answer, top_k)
        for outcome in outcomes
    ]
    if len(uploads) == 1:
        return contents[0]
    named = [
        {"name": upload.name} | content for upload, content in zip(uploads, contents, strict=True)
    ]
    return {"answers": named}


async def _answers(
    queue: InferenceQueue, uploads: list[Upload], seconds: float
) -> list[TimedAnswer | UserError]:
    """Return each image's answer or error; raise RefusedError without room or enough time."""
    try:
        futures = queue.submit([upload.content for upload in uploads])
    except BusyError as busy:
        raise RefusedError(
            503, "Too many images are waiting; try again.", Retry_After=str(busy.retry_after)
        ) from None
    waiting = asyncio.gather(*(_outcome(future) for future in futures))
    try:
        return await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        raise RefusedError(
            503, f"There was no answer after {seconds:g} seconds; try again.", Retry_After="5"
        ) from None


async def _outcome(future: "Future[TimedAnswer]") -> TimedAnswer | UserError:
    try:
        return await asyncio.wrap_future(future)
    except UserError as error:
        return error


def _add_health(app: FastAPI, queue: InferenceQueue) -> None:
    @app.get("/health/live")
    async def live() -> Health:
        """Say that the process answers."""
        return Health(status="live")

    @app.get("/health/ready", responses=_error_responses(503))
    async def ready() -> Health:
        """Say that the model was checked and that the queue has room."""
        if not queue.has_room:
            raise RefusedError(503, "The queue is full.", Retry_After="1")
        return Health(status="ready")


def _error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: ERROR_RESPONSES[status] for status in statuses}


def _key_check(expected: str) -> Any:
    async def check(authorization: Annotated[str, Header()] = "") -> None:
        scheme, _, given = authorization.partition(" ")
        right = secrets.compare_digest(given.strip().encode(), expected.encode())
        if scheme.lower() != "bearer" or not right:
            raise RefusedError(
                401, "Send the header `Authorization: Bearer KEY`.", WWW_Authenticate="Bearer"
            )

    return check
