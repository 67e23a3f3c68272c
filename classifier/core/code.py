"""The code that a result depends on: every file of this repository that a module imports.

This is the only definition of it. The names of cached and resumable results contain a
`code_digest`, and a test compares the deps of dvc.yaml with `import_closure`.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Top-level packages of this repository; in an installed copy, other libraries lie beside them.
PACKAGES = ("classifier", "stages")
# Templates and pages that a package reads, beside its Python files.
DATA_SUFFIXES = (".html", ".css", ".js", ".jinja")


def code_digest(*modules: str, root: Path | None = None) -> str:
    """Return the SHA-256, in hexadecimal, of the names and bytes of all files in the closure.

    Args:
        modules: Dotted names, such as `classifier.models.extractor`.
        root: Folder that holds the top-level packages; None for that of this file.
    """
    root = root or ROOT
    digest = hashlib.sha256()
    for name in import_closure(*modules, root=root):
        content = (root / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def import_closure(*modules: str, root: Path | None = None) -> list[str]:
    """Return every file of this repository that the modules need, the modules included.

    Imports are followed to any depth, also those inside functions. The `__init__.py` of each
    package on the way is in the closure, and so are the data files of these packages. What is
    imported by a computed name (`importlib.import_module`) is not seen.

    Args:
        modules: Dotted names, such as `stages.train`.
        root: Folder that holds the top-level packages; None for that of this file.

    Returns:
        Sorted paths relative to `root`, with forward slashes.

    Raises:
        ValueError: A module has no source file below `root`, or is a package.
    """
    root = root or ROOT
    found: set[Path] = set()
    seen, waiting = set(modules), list(modules)
    while waiting:
        name = waiting.pop()
        files = _files_of(name, root)
        if name in modules and not files:
            raise ValueError(f"no source file of the module {name} below {root}")
        # Its own file may import nothing, so that a digest would depend on no code.
        if name in modules and files[0].name == "__init__.py":
            raise ValueError(f"{name} is a package: name the module in it that does the work")
        # `import a.b` runs the package a first, which may import something too.
        names = {name.rpartition(".")[0]} - {""}
        for path in files:
            names |= _imported_names(path.read_bytes(), _package_of(path, root))
        found |= set(files)
        waiting += names - seen
        seen |= names
    found |= set(_data_files({path.parent for path in found}))
    return sorted(path.relative_to(root).as_posix() for path in found)


@cache
def _imported_names(source: bytes, package: str) -> frozenset[str]:
    """Return the dotted names that `source`, a module of `package`, imports from our packages.

    `from a import b` gives both `a` and `a.b`, since `b` may be a module.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.split(".")[0] in PACKAGES)


def _files_of(name: str, root: Path) -> list[Path]:
    """Return the file of module `name`, or the `__init__.py` of the package; none of a variable."""
    place = root.joinpath(*name.split("."))
    return [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]


def _package_of(path: Path, root: Path) -> str:
    return ".".join(path.parent.relative_to(root).parts)


def _data_files(packages: Iterable[Path]) -> Iterator[Path]:
    """Yield the data files of each package, in its own folder or in folders of no package."""
    for package in packages:
        for path in package.rglob("*"):
            if path.suffix in DATA_SUFFIXES and _nearest_package(path) == package:
                yield path


def _nearest_package(path: Path) -> Path:
    return next(folder for folder in path.parents if (folder / "__init__.py").is_file())
