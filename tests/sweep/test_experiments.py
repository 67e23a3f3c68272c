from pathlib import Path

import pytest
from builders.clones import Clone
from builders.sources import write_files

from classifier.core.errors import UserError
from classifier.sweep.experiments import committed_head


def test_files_that_are_not_committed_are_named_whatever_their_names(tmp_path: Path) -> None:
    write_files(tmp_path, {"my notes.txt": b"a", "caf\u00e9": b"b", "kept": b"c"})
    project = Clone(tmp_path, tmp_path / "cache")
    project.run("git", "init", "--quiet")
    project.commit("all")
    assert committed_head(tmp_path) == project.run("git", "rev-parse", "HEAD").strip()
    write_files(tmp_path, {"my notes.txt": b"x", "caf\u00e9": b"y", "untracked": b"z"})
    project.run("git", "add", "my notes.txt")
    with pytest.raises(UserError, match=r"not committed \(caf\u00e9, my notes\.txt\): commit them"):
        committed_head(tmp_path)
