from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.colours import write_models
from builders.web.browser import opened_page
from builders.web.serving import running, served
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page

from classifier.core.files import sha256_of
from classifier.serving.app import build_app


@pytest.fixture(scope="module")
def page_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model that `page_url` serves."""
    return write_models(tmp_path_factory.mktemp("models"), with_similar=True)


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


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_models(tmp_path_factory.mktemp("models"))
    manifest = sha256_of(folder / "export/manifest.json")
    (folder / "MODEL_CARD.md").write_text(f"# Colours\n{manifest}\n")
    return folder


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    small = served(models, max_body=100_000, max_pixels=10_000, max_images=4)
    with TestClient(build_app(small)) as client:
        yield client
