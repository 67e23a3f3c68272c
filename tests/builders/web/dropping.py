"""Drop files on a page as a user does."""

from pathlib import Path

from playwright.sync_api import Page


def drop(page: Page, *paths: Path) -> None:
    """Drop files or folders of this machine near the page's upper left corner."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 50, "y": 50, "data": data})
