from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees what another test, or the user, has in the cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CLASSIFIER_CACHE", str(folder))
    return folder
