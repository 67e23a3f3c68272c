"""Read the images of a request within limits, from a form or from the body itself."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from classifier.processing.formats import FORMATS

FIELD = "image"
# Content types of a raw body; the format is found from the content.
_RAW_TYPES = ("image/", "application/octet-stream")


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    Attributes:
        max_body: Bytes of a request's body.
        max_pixels: Pixels of an image.
        max_images: Images of a request.
        max_waiting: Images in the queue.
        max_buffered: Bytes of all request bodies in memory.
        max_connections: Open connections.
        header_bytes: Bytes of a request's header.
        header_count: Fields of a request's header.
        upload_seconds: From the first byte of a request to its last one.
        answer_seconds: From the last byte of a request to its answer.
    """

    max_body: int = 32 << 20
    max_pixels: int = 50_000_000
    max_images: int = 16
    max_waiting: int = 64
    max_buffered: int = 256 << 20
    max_connections: int = 512
    header_bytes: int = 16 << 10
    header_count: int = 100
    upload_seconds: float = 60.0
    answer_seconds: float = 30.0


class RefusedError(Exception):
    """A request that is refused with a status and a sentence that says why."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        """Keep the response; `Retry_After="1"` becomes the header `Retry-After: 1`."""
        super().__init__(reason)
        self.status, self.reason = status, reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Upload(NamedTuple):
    """The content of an uploaded file and the name that it was sent under."""

    name: str
    content: bytes


class UploadBudget:
    """Bounds the bytes of request bodies in memory, over all requests."""

    def __init__(self, limits: Limits) -> None:
        """Start with nothing reserved; `limits.max_buffered` is the budget."""
        self._limits = limits
        self._held = 0

    @contextmanager
    def hold(self, request: Request) -> Iterator[None]:
        """Reserve the declared size of the request, or the largest one, while inside.

        Raises:
            RefusedError: The budget is used up.
        """
        size = declared_size(request, self._limits.max_body)
        if self._held + size > self._limits.max_buffered:
            raise RefusedError(503, "Too many uploads at once; try again.", Retry_After="1")
        self._held += size
        try:
            yield
        finally:
            self._held -= size


def declared_size(request: Request, limit: int) -> int:
    """Return the body's size by its header, or `limit`; raise RefusedError if it is larger."""
    text = request.headers.get("content-length")
    if text is not None and not text.isdecimal():
        raise RefusedError(400, "The header Content-Length must be a number.")
    size = limit if text is None else int(text)
    if size > limit:
        raise RefusedError(413, f"The body has {size:,} bytes; {limit:,} is the limit.")
    return size


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """Return the images of a request, at least one; raise RefusedError for any other request."""
    kind = request.headers.get("content-type", "").lower().strip()
    if kind.startswith("multipart/form-data"):
        uploads = await _read_form(request, limits)
    elif kind.startswith(_RAW_TYPES):
        parts = [part async for part in _limited(request, limits.max_body)]
        uploads = [Upload("image", b"".join(parts))]
    else:
        raise RefusedError(
            415,
            f"Send images ({', '.join(FORMATS)}) as multipart/form-data with the field "
            f"{FIELD!r}, or one image as the body with a content type such as image/jpeg.",
        )
    for upload in uploads:
        if not upload.content:
            raise RefusedError(422, f"{upload.name}: it is empty.")
    return uploads


class _InMemory(MultiPartParser):
    """A parser that keeps files in memory: a container may have no disk to write to."""

    spool_max_size = 0  # no limit


async def _read_form(request: Request, limits: Limits) -> list[Upload]:
    stream = _limited(request, limits.max_body)
    # The parser itself refuses more files and fields than these.
    parser = _InMemory(
        request.headers, stream, max_files=limits.max_images, max_fields=8, max_part_size=1024
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RefusedError(400, f"The form cannot be read: {error.message}") from None
    try:
        return [await _upload(name, value) for name, value in _fields(form)]
    finally:
        await form.close()


def _fields(form: FormData) -> list[tuple[str, UploadFile]]:
    fields: list[tuple[str, UploadFile]] = []
    for name, value in form.multi_items():
        if name != FIELD or isinstance(value, str):
            raise RefusedError(
                400, f"The form must hold files as the field {FIELD!r}, and nothing else."
            )
        fields.append((name, value))
    if not fields:
        raise RefusedError(400, f"The form holds no file as the field {FIELD!r}.")
    return fields


async def _upload(name: str, file: UploadFile) -> Upload:
    return Upload(file.filename or name, await file.read())


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives; raise RefusedError once it is too large."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise RefusedError(413, f"The body is too large; {limit:,} bytes is the limit.")
        yield part
