"""The images of a request: read within limits, from a form or as the body itself."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from classifier.processing.images import FORMATS

FIELD = "image"
# A browser's or client's word for "some file"; what it is, its content tells.
_RAW_TYPES = ("image/", "application/octet-stream")


@dataclass(frozen=True)
class Limits:
    """What the server takes. Pixels are of an image; bytes and images, of a request.

    max_waiting: images in the queue. max_buffered: bytes of all bodies that are in memory at
    once. header_bytes, header_count: of a request's header, and of how many fields it may consist.
    upload_seconds: from the first byte of a request to its last. answer_seconds: from there on.
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
    """A request that is not answered: the status, and a sentence that says why."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Upload(NamedTuple):
    """An image file that was sent, and the name that it was sent under."""

    name: str
    content: bytes


class Buffers:
    """Counts the bytes of bodies that are in memory, and refuses what would be too many."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @contextmanager
    def hold(self, request: Request) -> Iterator[None]:
        """Inside, as many bytes are counted as the request says it has, or may have."""
        size = declared_size(request, self._limits.max_body)
        if self._held + size > self._limits.max_buffered:
            raise RefusedError(503, "Too many uploads at once; try again.", Retry_After="1")
        self._held += size
        try:
            yield
        finally:
            self._held -= size


def declared_size(request: Request, limit: int) -> int:
    """What the header says of the bytes of the body, or `limit`; raises RefusedError if more."""
    text = request.headers.get("content-length")
    if text is not None and not text.isdecimal():
        raise RefusedError(400, "The header Content-Length must be a number.")
    size = limit if text is None else int(text)
    if size > limit:
        raise RefusedError(413, f"The body has {size:,} bytes; {limit:,} is the limit.")
    return size


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """The images that the request brings, at least one; raises RefusedError."""
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
    """Keeps files in memory, whose use is bounded, since a server may have no disk to write to."""

    spool_max_size = 0  # no limit


async def _read_form(request: Request, limits: Limits) -> list[Upload]:
    stream = _limited(request, limits.max_body)
    # One more of each than is allowed, to be able to say what is wrong.
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
    """The body as it comes in; raises RefusedError once it is too large."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise RefusedError(413, f"The body is too large; {limit:,} bytes is the limit.")
        yield part
