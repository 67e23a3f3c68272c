import sys
from pathlib import Path

import pytest
from builders.clones import Clone
from builders.sources import write_files

from classifier.core.errors import UserError
from classifier.sweep.experiments import committed_head, run_tool


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


def test_error_that_dvc_did_not_expect_is_named_and_not_where_to_get_help(tmp_path: Path) -> None:
    said = r"ERROR: unexpected error - disk full\n\nHaving any troubles? Hit us up at dvc.org\n"
    program = f"import sys; sys.exit('{said}')"
    with pytest.raises(UserError, match=r"failed: ERROR: unexpected error - disk full$"):
        run_tool(sys.executable, "-c", program, folder=tmp_path)
