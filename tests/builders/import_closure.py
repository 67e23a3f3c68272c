"""Which files of this repository a program imports, read from its source."""

import ast
from pathlib import Path


def import_closure(program: Path, root: Path) -> set[str]:
    """`program` and every file below `root` that it imports, at any depth, also inside functions.

    Paths are relative to `root`, with forward slashes.
    """
    found: set[Path] = set()
    waiting = [program]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported_files(path, root)
    return {path.relative_to(root).as_posix() for path in found}


def _imported_files(path: Path, root: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    # `python -m stages.train` and `import classifier.x` run the package's own file first.
    names += [".".join(path.relative_to(root).with_suffix("").parts)]
    modules = [root.joinpath(*name.split(".")) for name in names]
    packages = [parent for path in modules for parent in path.parents if root in parent.parents]
    files = [path.with_suffix(".py") for path in modules]
    files += [path / "__init__.py" for path in [*modules, *packages]]
    return [path for path in files if path.is_file()]
