"""A headless Chromium, driven by Playwright, where the machine has one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to test with")


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser, which is closed at the end."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@contextmanager
def opened_page(browser: Browser, url: str) -> Iterator[Page]:
    """A page, which must not complain to the console, nor ask anybody but the server."""
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    yield page
    # The browser itself writes down every answer that is a refusal.
    assert [text for text in complaints if "status of" not in text] == []
    assert [address for address in asked if not address.startswith((url, "blob:"))] == []
    page.close()
