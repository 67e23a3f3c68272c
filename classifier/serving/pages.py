"""The HTML pages of the server, which load nothing from other hosts."""

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

_HERE = Path(__file__).parent


def add_pages(app: FastAPI) -> None:
    """Serve the page at `/` and the description of the API at `/docs`."""
    add_page(app, "/", "page/page.html")
    add_page(app, "/docs", "docs.html")


def add_page(app: FastAPI, path: str, file: str) -> None:
    """Serve a page of this folder at `path`, with a policy that admits its own script alone."""
    content = _whole_page(_HERE / file)
    headers = {"Content-Security-Policy": _page_policy(content)}
    response = HTMLResponse(content, headers=headers)
    app.add_api_route(path, _always(response), include_in_schema=False)


def _whole_page(path: Path) -> str:
    """Return a page with its style and its script, which lie beside it, inside."""

    def inside(tag: str) -> Callable[[re.Match[str]], str]:
        return lambda match: f"<{tag}>\n{path.with_name(match[1]).read_text('utf-8')}</{tag}>"

    content = path.read_text("utf-8")
    content = re.sub(r'<link rel="stylesheet" href="(\w+\.css)">', inside("style"), content)
    return re.sub(r'<script src="(\w+\.js)"></script>', inside("script"), content)


def _always(response: Response) -> Any:
    async def route() -> Response:
        return response

    return route


def _page_policy(content: str) -> str:
    """Return a policy that allows the page's own script and style, by their hashes, and no other.

    The page may send requests to this server and show images that the user chose.
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
