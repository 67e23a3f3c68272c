"""The routes of the server: predictions, heat maps, the model, health and metrics."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST

from classifier.core.errors import UserError
from classifier.serving.error_handlers import add_error_handlers
from classifier.serving.forms import Upload
from classifier.serving.middleware import OutermostMiddleware
from classifier.serving.pages import add_pages
from classifier.serving.queries import check_query
from classifier.serving.refused import RefusedError
from classifier.serving.request_log import RequestLog
from classifier.serving.schemas import (
    ERROR_RESPONSES,
    HEAT_MAP,
    REQUEST_BODY,
    SIMILAR_IMAGES,
    BatchPredictResponse,
    Health,
    ModelInfo,
    PredictResponse,
)
from classifier.serving.service import Service
from classifier.serving.uploads import UploadBudget, read_uploads
from classifier.serving.workers.image_worker import Outcome, Task
from classifier.serving.workers.pool import BusyError


def build_app(service: Service, log: RequestLog | None = None) -> FastAPI:
    """Return the application; the workers of `service` run from its startup to its shutdown."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app = FastAPI(
        title="Image classifier",
        version=service.model.version,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to the name in the header Host, whatever that is
    )
    add_error_handlers(app)
    add_pages(app)
    _add_health(app, service)
    options = service.options
    key = [Depends(_key_check(options.api_key))] if options.api_key is not None else []
    budget = UploadBudget(options.limits)
    _add_predict(app, service, budget, key)
    _add_heat_map(app, service, budget, key)
    _add_model(app, service, key)
    app.add_middleware(
        OutermostMiddleware,
        metrics=service.metrics,
        limits=options.limits,
        allowed_hosts=options.allowed_hosts,
        stopping=service.stopping,
        log=log,
    )
    return app


def _add_model(app: FastAPI, service: Service, key: list[Any]) -> None:
    @app.get("/model", dependencies=key, responses=_error_responses(401) if key else {})
    async def model() -> ModelInfo:
        """Describe the model that is served."""
        return ModelInfo(**service.model.info)

    @app.get(
        "/similar.jpg",
        dependencies=[*key, Depends(check_query)],
        response_class=Response,
        responses=SIMILAR_IMAGES | (_error_responses(401) if key else {}),
    )
    async def similar(model: str | None = None) -> Response:
        """Show the training images that travel with the model; with `model`, with that version."""
        served = service.model
        if served.similar is None or model not in {None, served.version}:
            raise RefusedError(404, "No training images travel with the model that answers now.")
        return Response(served.similar, media_type="image/jpeg")

    @app.get("/metrics", dependencies=key, response_class=Response, include_in_schema=False)
    async def prometheus() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_predict(app: FastAPI, service: Service, budget: UploadBudget, key: list[Any]) -> None:
    limits, metrics = service.options.limits, service.metrics

    @app.post(
        "/predict",
        dependencies=[*key, Depends(check_query)],
        response_model=PredictResponse | BatchPredictResponse,
        responses=ERROR_RESPONSES,
        openapi_extra=REQUEST_BODY,
    )
    async def predict(
        request: Request, top_k: Annotated[int, Query(ge=1, le=1000)] = 5
    ) -> JSONResponse:
        """Classify one image, or each of several."""
        with budget.hold(request) as held:
            uploads = await read_uploads(request, limits, held)
            arrived, version = time.perf_counter(), service.model.version
            tasks = [Task(upload.content, top_k) for upload in uploads]
            outcomes = await _outcomes(service, tasks)
        for outcome in outcomes:
            metrics.count_image(outcome)
        if service.record is not None:
            service.record.write(outcomes, version)
        request.scope["state"]["log"] = {"images": [_logged(outcome) for outcome in outcomes]}
        seconds = time.perf_counter() - arrived
        metrics.count_seconds(seconds)
        about = {"model": version, "milliseconds": round(1e3 * seconds, 3)}
        return JSONResponse(_content(uploads, outcomes) | about)


def _add_heat_map(app: FastAPI, service: Service, budget: UploadBudget, key: list[Any]) -> None:
    # A map takes as long as dozens of answers; two at once would delay the images.
    drawing = asyncio.Lock()

    @app.post(
        "/heatmap",
        dependencies=[*key, Depends(check_query)],
        response_class=Response,
        responses=HEAT_MAP,
        openapi_extra=REQUEST_BODY,
    )
    async def heat_map(
        request: Request,
        index: Annotated[int | None, Query(ge=0, le=1_000_000)] = None,
        model: str | None = None,
    ) -> Response:
        """Draw the image regions that support a class: that of `index`, or that of the answer.

        With `model`, of that version: an index may mean another class in another model.
        """
        if model not in {None, service.model.version}:
            raise RefusedError(404, "The server has another model now; send the image again.")
        with budget.hold(request) as held:
            upload, *others = await read_uploads(request, service.options.limits, held)
            if others:
                raise RefusedError(400, "Send one image for a heat map.")
            if drawing.locked():
                raise RefusedError(
                    503, "Another heat map is being drawn; try again.", Retry_After="1"
                )
            async with drawing:
                return Response(await _heat_map(service, upload, index), media_type="image/png")


async def _heat_map(service: Service, upload: Upload, index: int | None) -> bytes:
    try:
        future = service.submit_heat_map(upload.content, index)
        return await _in_time(future, service.options.limits.answer_seconds)
    except BusyError as busy:
        raise _busy(busy) from None
    except UserError as error:
        raise RefusedError(422, _with_name(upload, str(error))) from None


async def _outcomes(service: Service, tasks: Sequence[Task]) -> list[Outcome]:
    """Return what became of each image; raise RefusedError without room or enough time."""
    try:
        waiting = asyncio.gather(*service.submit(tasks))
    except BusyError as busy:
        raise _busy(busy) from None
    return await _in_time(waiting, service.options.limits.answer_seconds)


async def _in_time(future: "asyncio.Future[Any]", seconds: float) -> Any:
    try:
        return await asyncio.wait_for(future, seconds)
    except TimeoutError:
        raise RefusedError(
            503, f"There was no answer after {seconds:g} seconds; try again.", Retry_After="5"
        ) from None


def _busy(busy: BusyError) -> RefusedError:
    retry_after = str(busy.retry_after)
    return RefusedError(503, "Too many images are waiting; try again.", Retry_After=retry_after)


def _content(uploads: list[Upload], outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the answer for one image, or those for several; raise RefusedError without any."""
    pairs = list(zip(uploads, outcomes, strict=True))
    if all(outcome.content is None for outcome in outcomes):
        reasons = [_with_name(upload, outcome.error) for upload, outcome in pairs]
        raise RefusedError(422, " ".join(reasons))
    if len(pairs) == 1:
        assert outcomes[0].content is not None
        return outcomes[0].content
    answers = [
        {"name": upload.name}
        | ({"error": outcome.error} if outcome.content is None else outcome.content)
        for upload, outcome in pairs
    ]
    return {"answers": answers}


def _with_name(upload: Upload, reason: str) -> str:
    return reason if reason.startswith("index: ") else f"{upload.name}: {reason}"


def _logged(outcome: Outcome) -> dict[str, Any]:
    """Return what the log says about an image."""
    label = None if outcome.content is None else outcome.content["label"]
    stages = ("waiting", "decoding", "inference")
    return {"label": label} | {
        f"{stage}_milliseconds": round(1e3 * getattr(outcome, stage), 3) for stage in stages
    }


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health/live")
    async def live() -> Health:
        """Say that the process answers."""
        return Health(status="live")

    @app.get("/health/ready", responses=_error_responses(503))
    async def ready() -> Health:
        """Say that the model was checked, the queue has room, and images are answered in time."""
        problem = service.problem
        if problem is not None:
            raise RefusedError(503, problem, Retry_After="1")
        return Health(status="ready")


def _error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: ERROR_RESPONSES[status] for status in statuses}


def _key_check(expected: str) -> Any:
    bearer = HTTPBearer(auto_error=False, description="The key of --api-key-file.")

    async def check(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        key = "" if given is None else given.credentials.strip()
        if not secrets.compare_digest(key.encode("utf-8", "replace"), expected.encode()):
            raise RefusedError(
                401, "Send the header `Authorization: Bearer KEY`.", WWW_Authenticate="Bearer"
            )

    return check
