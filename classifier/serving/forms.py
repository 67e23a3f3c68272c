"""Read the files of a form (multipart/form-data) as its bytes arrive."""

from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from classifier.serving.refused import RefusedError

FIELD = "image"


class Upload(NamedTuple):
    """The content of an uploaded file and the name that it was sent under."""

    name: str
    content: bytes


class FormReader:
    """Takes a form in pieces; it keeps the files in memory, as a container may have no disk.

    python-multipart finds the parts. What is in their headers is decoded here, whatever a client
    has written there.
    """

    def __init__(self, content_type: str, max_files: int) -> None:
        """Begin with nothing read.

        Args:
            content_type: The header of the request.
            max_files: With more, `feed` raises.

        Raises:
            RefusedError: The header names no boundary.
        """
        _, options = parse_options_header(content_type)
        if not options.get(b"boundary"):
            raise RefusedError(400, "The form cannot be read: Missing boundary in the header.")
        self._max_files = max_files
        self._names: list[str] = []
        self._pieces: list[list[bytes]] = []
        self._header = [b"", b""]
        self._disposition: bytes | None = None
        self._ended = False
        callbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)  # pyright: ignore[reportArgumentType] (a dict with these keys)
        except FormParserError as error:
            raise RefusedError(400, f"The form cannot be read: {error}") from None

    def feed(self, piece: bytes) -> None:
        """Take the next bytes; raise RefusedError where they are no form of files."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise RefusedError(400, f"The form cannot be read: {error}") from None

    def uploads(self) -> list[Upload]:
        """Return the files; raise RefusedError where there are none, or the form has no end."""
        if not self._ended:
            raise RefusedError(400, "The form cannot be read: it ends too early.")
        if not self._names:
            raise RefusedError(400, f"The form holds no file as the field {FIELD!r}.")
        named = zip(self._names, self._pieces, strict=True)
        return [Upload(name, b"".join(pieces)) for name, pieces in named]

    def _on_part_begin(self) -> None:
        self._disposition = None
        self._header = [b"", b""]

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _on_header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, file = (options.get(key) for key in (b"name", b"filename"))
        if name != FIELD.encode() or file is None:
            raise RefusedError(
                400, f"The form must hold files as the field {FIELD!r}, and nothing else."
            )
        if len(self._names) == self._max_files:
            raise RefusedError(400, f"Too many files; {self._max_files} is the limit.")
        self._names.append(file.decode("utf-8", "replace") or FIELD)
        self._pieces.append([])

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces[-1].append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True
