import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from builders.clones import Clone
from hypothesis import settings

from classifier.core.cache import locked

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# One thread a process: as many tests run at once as there are cores, and more threads than cores
# spend most of their time waiting for each other. Set before a test imports NumPy or PyTorch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees what another test, or the user, has in the cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CLASSIFIER_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A headless Chromium; for tests under `needs_chromium`."""
    # Most workers need no browser.
    from builders.web.browser import launched  # noqa: PLC0415

    with launched() as browser:
        yield browser


@pytest.fixture
def restored_determinism() -> Iterator[None]:
    """Set PyTorch's deterministic mode back after the test."""
    # Most tests need no PyTorch.
    import torch  # noqa: PLC0415

    before = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    yield
    torch.set_deterministic_debug_mode(before)
    memory.fill_uninitialized_memory = filled


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the pipeline has run, one for all workers; tests change copies of it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "origin"
    with locked(folder.with_suffix(".lock")):
        if (folder / "done").exists():
            return Clone(folder / "project", folder / "cache")
        clone = Clone.of_work_tree(folder / "project", folder / "cache")
        clone.begin_anew(epochs=1)
        clone.dvc("repro")
        clone.commit("as run")
        (folder / "done").touch()
        return clone
