"""The Markdown pages of the project: their code blocks and their generated tables."""

import ast
import re
from pathlib import Path

from classifier.commands.main import COMMANDS
from classifier.core import config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# From the top of the layers to the bottom.
PACKAGES = (
    *("commands", "sweep", "serving", "monitoring", "static_page", "report", "export"),
    *("evaluation", "training", "inference", "splitting", "models", "data", "sources"),
    *("metrics", "plotting", "processing", "core"),
)


def packages_table() -> str:
    """Return a row for each package with the first sentence of its docstring."""
    rows = ["| package | what it does |", "| --- | --- |"]
    for name in PACKAGES:
        text = (ROOT / "classifier" / name / "__init__.py").read_text("utf-8")
        rows.append(f"| `{name}` | {_sentence(text)} |")
    return "\n".join(rows)


def _sentence(source: str) -> str:
    """Return the first paragraph of a module's docstring on one line."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def commands_table() -> str:
    """Return a row for each command of `classifier` with its help."""
    rows = [f"| `{name}` | {text} |" for name, text in COMMANDS.items()]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows])


def renamed_table() -> str:
    """Return a row for each parameter that has a new name."""
    rows = [f"| `{old}` | `{new}` |" for old, new in config.RENAMED.items()]
    return "\n".join(["| before | now |", "| --- | --- |", *rows])


def between(page: str, name: str) -> str:
    """Return what stands between `<!-- name -->` and `<!-- end -->`, without the lines' ends."""
    return page.partition(f"<!-- {name} -->\n")[2].partition("<!-- end -->")[0].strip()


def blocks(page: str, *languages: str) -> list[str]:
    """Return the fenced code blocks of a page that are in one of the languages."""
    found = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page: str) -> list[str]:
    """Return the commands of a page: lines of `sh` blocks, and those after $ in `console` ones."""
    lines = [line.strip() for text in blocks(page, "sh") for line in text.splitlines()]
    shown = [line for text in blocks(page, "console") for line in text.splitlines()]
    lines += [line.removeprefix("$ ") for line in shown if line.startswith("$ ")]
    return [line.partition("  #")[0].strip() for line in lines if line]
