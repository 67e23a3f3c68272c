"""Change values in the text of a params file and leave everything else as it is, comments too.

The places come from PyYAML's marks. Reading the file into objects and writing it again, as
ruamel.yaml does, would lose the comment after a list that is replaced.
"""

import difflib
from collections.abc import Mapping
from typing import Any

import yaml

from classifier.core.config import RENAMED, ParamsLoader
from classifier.core.errors import UserError

# Knobs whose value may be a mapping, which is set as a whole; tests/commands/test_preset.py proves
# that the schemas have no others.
MAPPINGS = frozenset({"download.splits", "download.labels", "evaluate.costs"})


class _ParamsDumper(yaml.SafeDumper):
    """Put a text into quotes where ParamsLoader would take it for something else, such as `1e3`."""

    yaml_implicit_resolvers = ParamsLoader.yaml_implicit_resolvers


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return values by full name: `{"train": {"epochs": 5}}` becomes `{"train.epochs": 5}`.

    Only mappings are taken apart. Lists are values, and so are empty mappings and the knobs in
    MAPPINGS.
    """
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and name not in MAPPINGS:
            values |= flatten(value, f"{name}.")
        else:
            values[name] = value
    return values


def edit_params(text: str, changes: Mapping[str, Any]) -> str:
    """Return the YAML `text` with the values of `changes`, which has full names as keys.

    Raises UserError for a name that the text does not have.
    """
    known = flatten(yaml.load(text, ParamsLoader))
    for name in changes:
        if name in RENAMED:
            raise UserError(f"{name} is now {RENAMED[name]}.")
        if name not in known:
            part = next((each for each in known if each.startswith(f"{name}.")), None)
            if part is not None:
                raise UserError(
                    f"{name} is a group of parameters: set one of them by its name, such as {part}."
                )
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "correct its name."
            raise UserError(f"params.yaml has no parameter {name}: {hint}")
    root = yaml.compose(text, ParamsLoader)
    edits: list[tuple[int, int, str]] = []
    for name, value in changes.items():
        node = _find(root, name.split("."))
        start = _start(node, text)
        # `key:` without a value stands for null, and has no space after the colon.
        end = max(start, _end(node, text))
        # DVC writes `- items` no deeper than their key, where a value on one line has to be deeper.
        line = text[text.rfind("\n", 0, start) + 1 : start]
        space = "  " if not line.strip() else "" if line[-1].isspace() else " "
        edits.append((start, end, f"{space}{to_yaml(value)}"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def to_yaml(value: Any) -> str:
    """Return a value as YAML on one line, in a form that is also right within brackets."""
    text = yaml.dump(
        [value],
        Dumper=_ParamsDumper,
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
        sort_keys=False,
    )
    return text.strip()[1:-1]


def _find(node: yaml.Node, path: list[str]) -> yaml.Node:
    for part in path:
        node = next(value for key, value in node.value if key.value == part)
    return node


def _start(node: yaml.Node, text: str) -> int:
    """Return the index of a node, or of the end of its key where nothing but space is between."""
    before = text[: node.start_mark.index].rstrip()
    below = "\n" in text[len(before) : node.start_mark.index]
    return len(before) if below and before.endswith(":") else node.start_mark.index


def _end(node: yaml.Node, text: str) -> int:
    """Return the index after a node; the mark of a block ends after the comments behind it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last, text)
    return len(text[: node.end_mark.index].rstrip())
