from collections.abc import Iterator

import pytest
from builders.web.static_site import opened_modules
from playwright.sync_api import Page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened_modules(tmp_path_factory.mktemp("page")) as page:
        yield page
