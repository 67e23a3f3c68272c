"""Define the parts of the report page, which templates/report.html.jinja turns into HTML."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

_NUMBER = re.compile(r"[-+]?[\d,.]+(e[-+]?\d+)?%?( \(.*\)| to [\d.]+)?|")
# Bytes from which a PNG is embedded as WebP: photos become ten times smaller, small charts larger.
_LARGE = 200_000


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str
    kind: str = "paragraph"


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "table"

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds only numbers."""
        return [
            all(_NUMBER.fullmatch(row[place]) for row in self.rows)
            for place in range(len(self.headings))
        ]


@dataclass(frozen=True)
class Details:
    """A table that opens with a click on its summary."""

    summary: str
    table: Table
    kind: str = "details"


@dataclass(frozen=True)
class Figure:
    """An image inside the page; alt describes it for people who cannot see it."""

    source: str
    width: int
    height: int
    alt: str
    caption: str
    kind: str = "image"


Part = Paragraph | Table | Details | Figure


@dataclass(frozen=True)
class Section:
    """A heading and the parts below it."""

    heading: str
    parts: Sequence[Part]

    @property
    def anchor(self) -> str:
        """The id of the section in links."""
        return re.sub(r"\W+", "-", self.heading.lower())


def embed_png(png: bytes, alt: str, caption: str = "") -> Figure:
    """Return a PNG file as a figure with a `data:` address; large ones become WebP."""
    with Image.open(io.BytesIO(png)) as opened:
        width, height = opened.size
        kind, content = ("png", png) if len(png) < _LARGE else ("webp", _as_webp(opened))
    data = base64.b64encode(content).decode()
    return Figure(f"data:image/{kind};base64,{data}", width, height, alt, caption)


def _as_webp(opened: Image.Image) -> bytes:
    buffer = io.BytesIO()
    opened.convert("RGB").save(buffer, "WEBP", quality=85, method=4)
    return buffer.getvalue()
