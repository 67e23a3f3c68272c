from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.browser import opened_page
from builders.colours import write_models
from builders.serving import running, served
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def page_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model that `page_url` serves."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def page_url(page_models: Path) -> Iterator[str]:
    """The address of a running server."""
    with running(served(page_models, max_pixels=1_000_000)) as url:
        yield url


@pytest.fixture
def page(browser: Browser, page_url: str) -> Iterator[Page]:
    """The page of that server."""
    with opened_page(browser, page_url) as page:
        yield page
