"""A folder of static files behind the plainest of web servers, and images sent into a page."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page

from builders.colours import write_models
from builders.web.browser import launched
from classifier.static_page.write_page import CONFIG, write_page

_DECODE = """async ([text, config]) => {
  const { storedPixels } = await import("/image.js");
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Array.from(await storedPixels(new File([bytes], "image"), config));
}"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def static_site(folder: Path) -> Iterator[str]:
    """Serve a folder, as `python -m http.server` does; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def opened_modules(folder: Path) -> Iterator[Page]:
    """A document beside a page's modules, which can be imported without the runtime."""
    write_page(folder / "page", write_models(folder / "models"), {}, int8=False)
    with static_site(folder / "page") as url, launched() as browser:
        page = browser.new_page()
        page.goto(f"{url}/{CONFIG}")
        yield page


def pixels_in_page(page: Page, content: bytes, config: dict[str, Any]) -> np.ndarray:
    """What the page makes of an image file: uint8 `(S, S, 3)`."""
    values = page.evaluate(_DECODE, [base64.b64encode(content).decode(), config])
    side = config["stored_size"]
    return np.array(values, np.uint8).reshape(side, side, 3)
