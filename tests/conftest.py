from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees what another test, or the user, has in the cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CLASSIFIER_CACHE", str(folder))
    return folder
