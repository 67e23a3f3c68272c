"""Outputs are hard links of DVC's cache: whoever writes one in place changes the cache, too."""

import hashlib
from pathlib import Path

import pytest
from builders.clones import Clone

# All stages in one process, as `python -m` runs them, without DVC, which would remove the outputs.
RUN_STAGES = """
from stages import download, evaluate, export, report, split, train, tta_evaluate
for stage in (download, split, train, evaluate, tta_evaluate, export, report):
    stage.main()
"""


def changed_files(cache: Path) -> list[Path]:
    """The files in DVC's cache whose content has not the MD5 that their path says."""
    files = [path for path in (cache / "files/md5").rglob("*") if path.is_file()]
    assert files
    return [
        path
        for path in files
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        != f"{path.parent.name}{path.stem}"
    ]


@pytest.mark.xdist_group("origin")
def test_outputs_are_links_that_nothing_writes_in_place(origin: Clone, tmp_path: Path) -> None:
    clone = origin.copied(tmp_path / "clone")
    linked = [clone.folder / "data/split/images-0.npy", clone.folder / "models/model.safetensors"]
    assert all(path.stat().st_nlink > 1 for path in linked)
    assert all(path.stat().st_mode & 0o222 == 0 for path in linked)
    clone.set_params(seed="1")
    clone.run("python", "-c", RUN_STAGES)
    assert clone.run("git", "status", "--porcelain", "results")
    for command in (["verify", "models/export"], ["gallery", "3"], ["label-errors"]):
        clone.run("classifier", *command)
    assert changed_files(origin.folder / ".dvc/cache") == []
