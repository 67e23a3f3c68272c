"""A clone whose Git converts line ends, as Git for Windows does by default."""

from pathlib import Path

from builders.clones import Clone


def test_clone_that_converts_line_ends_has_the_same_bytes(tmp_path: Path) -> None:
    project = Clone.of_work_tree(tmp_path / "project", tmp_path / "cache")
    clone = tmp_path / "clone"
    convert = ("git", "clone", "--quiet", "--config", "core.autocrlf=true")
    project.run(*convert, str(project.folder), str(clone))
    names = project.run("git", "ls-files", "-z").split("\0")[:-1]
    before, after = project.folder, clone
    changed = [one for one in names if (before / one).read_bytes() != (after / one).read_bytes()]
    assert changed == []
