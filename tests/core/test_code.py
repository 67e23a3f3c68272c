from pathlib import Path

import pytest
from builders.library import copy_library, edited

from classifier.core.code import DATA_SUFFIXES, PACKAGES, code_digest, import_closure


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files of the package `classifier`, with the `__init__.py` of every folder."""
    for name, text in files.items():
        path = root / "classifier" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        for folder in path.relative_to(root).parents:
            if folder.parts:
                (root / folder / "__init__.py").touch()
    return root


def closure(root: Path) -> set[str]:
    """The closure of `classifier.a.main` below the folder `classifier`."""
    found = import_closure("classifier.a.main", root=root)
    return {name.removeprefix("classifier/") for name in found if "__init__" not in name}


@pytest.mark.parametrize(
    "line",
    [
        "from classifier.b import deep",
        "from classifier.b.deep import VALUE",
        "import classifier.b.deep as other",
        "from ..b import deep",
        "from ..b.deep import VALUE",
        "def inside():\n    from classifier.b import deep\n    return deep",
    ],
)
def test_closure_follows_every_way_to_import_to_any_depth(tmp_path: Path, line: str) -> None:
    files = {
        "a/main.py": line,
        "b/deep.py": "from classifier.b.deeper import VALUE",
        "b/deeper.py": "VALUE = 1",
        "b/unused.py": "",
        "c/unused.py": "",
    }
    assert closure(write(tmp_path, files)) == {"a/main.py", "b/deep.py", "b/deeper.py"}


def test_closure_holds_what_the_packages_on_the_way_import(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/main.py": "import classifier.b.c.deep", "b/c/deep.py": ""})
    write(root, {"d/by_package.py": ""})
    (root / "classifier/b/__init__.py").write_text("from classifier.d import by_package\n")
    assert "d/by_package.py" in closure(root)
    found = import_closure("classifier.a.main", root=root)
    assert {"classifier/__init__.py", "classifier/b/__init__.py"} <= set(found)


def test_closure_holds_the_pages_of_its_packages_and_of_no_other(tmp_path: Path) -> None:
    files = {
        "a/main.py": "",
        "a/page.html": "",
        "a/templates/card.jinja": "",
        "a/notes.txt": "",
        "a/inner/module.py": "",
        "a/inner/other.html": "",
        "b/unused.html": "",
    }
    root = write(tmp_path, files)
    (root / "classifier/a/templates/__init__.py").unlink()
    assert closure(root) == {"a/main.py", "a/page.html", "a/templates/card.jinja"}


def test_closure_has_none_of_other_libraries_that_lie_beside_ours(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/main.py": "import numpy"})
    (root / "numpy.py").touch()
    assert closure(root) == {"a/main.py"}


def test_module_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"classifier\.missing"):
        import_closure("classifier.missing", root=tmp_path)


def test_package_is_refused_since_its_own_file_may_import_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/__init__.py": "", "a/main.py": ""})
    with pytest.raises(ValueError, match=r"classifier\.a is a package: name the module in it"):
        code_digest("classifier.a", root=root)


# A small and a large closure; that each stage's is what it imports: tests/pipeline.
@pytest.mark.parametrize("stage", ["download", "train"])
def test_digest_changes_with_every_file_of_the_closure_and_with_no_other(
    tmp_path: Path, stage: str
) -> None:
    root, module = copy_library(tmp_path / "copy"), f"stages.{stage}"
    before, inside = code_digest(module, root=root), import_closure(module)
    assert before == code_digest(module)
    suffixes = {".py", *DATA_SUFFIXES}
    files = [path for name in PACKAGES for path in (root / name).rglob("*")]
    names = [path.relative_to(root).as_posix() for path in files if path.suffix in suffixes]
    changing = []
    for name in names:
        with edited(root / name):
            changing += [name] if code_digest(module, root=root) != before else []
    assert sorted(changing) == inside
    assert len(inside) < len(names)


def test_digest_changes_when_a_file_is_renamed(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/main.py": "from classifier.b import one, two", "b/one.py": ""})
    before = code_digest("classifier.a.main", root=root)
    (root / "classifier/b/one.py").rename(root / "classifier/b/two.py")
    assert code_digest("classifier.a.main", root=root) != before


def test_digest_of_several_modules_covers_all_of_them(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/main.py": "", "b/other.py": ""})
    modules = ("classifier.a.main", "classifier.b.other")
    before = code_digest(*modules, root=root)
    assert before == code_digest(*reversed(modules), root=root)
    for name in ("a/main.py", "b/other.py"):
        with edited(root / "classifier" / name):
            assert code_digest(*modules, root=root) != before
