from pathlib import Path

import pytest

from classifier.core.code import ROOT
from classifier.core.versions import (
    LIBRARIES,
    LOCK,
    VERSIONS,
    installed_versions,
    locked_versions,
    write_versions,
)


def lock_of(**versions: str) -> str:
    """A lock file of all libraries, with these versions and 1.0 for the others."""
    given = dict.fromkeys(LIBRARIES, "1.0") | versions
    return "".join(f"{name}=={number} \\\n    --hash=sha256:0\n" for name, number in given.items())


def test_versions_are_those_of_the_lock_file(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes((ROOT / LOCK).read_bytes())
    write_versions(tmp_path)
    assert (tmp_path / VERSIONS).read_text("utf-8") == (ROOT / VERSIONS).read_text("utf-8")


def test_versions_are_read_from_the_lines_of_the_lock_file() -> None:
    text = "torchao==9.9 \\\n" + lock_of(torch="2.15.0", pillow="13.0")
    assert locked_versions(text)["torch"] == "2.15.0"
    assert locked_versions(text)["pillow"] == "13.0"


@pytest.mark.parametrize(
    "text",
    [
        lock_of().replace("torch==1.0 \\\n", ""),
        lock_of() + "torch==2.0 ; python_full_version < '3.12' \\\n",
    ],
)
def test_library_without_one_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="one version of torch,"):
        locked_versions(text)


def test_library_that_is_not_installed_has_no_version() -> None:
    assert installed_versions("no-such-library") == {"no-such-library": None}
