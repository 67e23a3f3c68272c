"""Read the images of a request within limits, from a form or from the body itself."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import Request

from classifier.serving.forms import FIELD, FormReader, Upload
from classifier.serving.limits import Limits
from classifier.serving.refused import RefusedError

# Content types of a raw body; the format is found from the content.
_RAW_TYPES = ("image/", "application/octet-stream")


class UploadBudget:
    """Bounds the bytes of request bodies in memory, over all requests and for each address.

    What has arrived counts, and not what a client declares: a declaration costs it nothing.
    """

    def __init__(self, limits: Limits) -> None:
        """Start with nothing held."""
        self._limits = limits
        self._held: Counter[str] = Counter()
        self._total = 0

    @contextmanager
    def hold(self, request: Request) -> Iterator["HeldUpload"]:
        """Count the bytes of a request while inside."""
        upload = HeldUpload(self, request.client.host if request.client else "")
        try:
            yield upload
        finally:
            self.count(upload.address, -upload.size)

    def count(self, address: str, size: int) -> None:
        """Count bytes from an address, or give them back (negative).

        Raises:
            RefusedError: All that may be held is, or all that this address may hold.
        """
        self._held[address] += size
        self._total += size
        if self._held[address] <= 0:
            del self._held[address]
        if size <= 0:
            return
        most = self._limits.max_buffered
        if self._total > most or self._held[address] > most * self._limits.address_share:
            raise RefusedError(503, "Too many uploads at once; try again.", Retry_After="1")


class HeldUpload:
    """The bytes of one request that are in memory."""

    def __init__(self, budget: UploadBudget, address: str) -> None:
        """Start with none."""
        self._budget, self.address, self.size = budget, address, 0

    def add(self, count: int) -> None:
        """Count bytes that have arrived; raise RefusedError where they are too many."""
        self.size += count
        self._budget.count(self.address, count)


async def read_uploads(request: Request, limits: Limits, held: HeldUpload) -> list[Upload]:
    """Return the images of a request, at least one; raise RefusedError for any other request."""
    _check_declared(request, limits.max_body)
    header = request.headers.get("content-type", "")
    kind = header.lower().strip()
    if kind.startswith("multipart/form-data"):
        form = FormReader(header, limits.max_images)
        await _feed(request, limits.max_body, held, form.feed)
        uploads = form.uploads()
    elif kind.startswith(_RAW_TYPES):
        pieces: list[bytes] = []
        await _feed(request, limits.max_body, held, pieces.append)
        uploads = [Upload(FIELD, b"".join(pieces))]
    else:
        raise RefusedError(
            415,
            f"Send images ({', '.join(limits.formats)}) as multipart/form-data with the field "
            f"{FIELD!r}, or one image as the body with a content type such as image/jpeg.",
        )
    return uploads


def _check_declared(request: Request, limit: int) -> None:
    """Raise RefusedError where the request says that its body is too large."""
    text = request.headers.get("content-length", "0")
    if not (text.isascii() and text.isdecimal()):
        raise RefusedError(400, "The header Content-Length must be a number.")
    # Of more digits than any size has, Python would refuse to make a number.
    if len(text) > 18 or int(text) > limit:
        raise RefusedError(413, f"The body has {_grouped(text)} bytes; {limit:,} is the limit.")


def _grouped(digits: str) -> str:
    return f"{int(digits):,}" if len(digits) <= 18 else "far too many"


async def _feed(
    request: Request, limit: int, held: HeldUpload, take: Callable[[bytes], None]
) -> None:
    """Pass on the body as it arrives; raise RefusedError once it is too large."""
    async for piece in request.stream():
        if not piece:
            continue
        held.add(len(piece))
        if held.size > limit:
            raise RefusedError(413, f"The body is too large; {limit:,} bytes is the limit.")
        take(piece)
