"""The server's pages, which may load nothing from elsewhere."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

_HERE = Path(__file__).parent


def add_pages(app: FastAPI) -> None:
    """Serve the page at `/` and the API in words at `/docs`."""
    for path, file in (("/", "page.html"), ("/docs", "docs.html")):
        content = (_HERE / file).read_text("utf-8")
        headers = {"Content-Security-Policy": _page_policy(content)}
        response = HTMLResponse(content, headers=headers)
        app.add_api_route(path, _always(response), include_in_schema=False)


def _always(response: Response) -> Any:
    async def route() -> Response:
        return response

    return route


def _page_policy(content: str) -> str:
    """A policy that lets the page's own script and style run, told by their hashes, and no other.

    It may talk to this server, and show images that the user chose.
    """
    hashes = {
        tag: " ".join(
            f"'sha256-{_base64_sha256(part)}'"
            for part in re.findall(rf"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _base64_sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
