"""Merge a preset into params.yaml, and set single values in the same call.

    classifier preset photos download.url=/home/me/photos

A preset (presets/*.yaml) holds only what differs from params.yaml as it came. presets/default.yaml
has the original value of every parameter that some preset sets; it is merged first, so that going
from one preset to another leaves nothing of the first behind. All other values stay as they are.
"""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from classifier.commands.shared.parser import CommandParser
from classifier.core.config import load_yaml, parse_params, read_params
from classifier.core.errors import UserError
from classifier.core.files import write_bytes
from classifier.core.params_edit import edit_params, flatten, to_yaml
from classifier.core.text import counted

PARAMS, PRESETS = Path("params.yaml"), Path("presets")
DEFAULT = "default"


def main(arguments: list[str]) -> None:
    """Merge the preset that is named, check the result, write it and print what changed."""
    options = _parser().parse_args(arguments)
    changes = preset_values(options.name, PRESETS) | with_watch(parse_values(options.values))
    before = flatten(read_params(PARAMS))
    merged = edit_params(PARAMS.read_text("utf-8"), changes)
    after = parse_params(merged, PARAMS)
    assert flatten(after) == before | changes
    from classifier.commands.check import check_content  # noqa: PLC0415 - PyTorch; not for --help

    check_content(after, Path(f"preset {options.name}"))
    write_bytes(PARAMS, merged.encode())
    _print_changes(options.name, before, changes)


def preset_values(name: str, folder: Path) -> dict[str, Any]:
    """Return by full name what a preset sets, and the originals of what other presets set.

    Raises UserError where `folder` has no such preset.
    """
    names = preset_names(folder)
    if name not in names:
        raise UserError(f"there is no preset {name!r}: the presets are {', '.join(names)}.")
    values: dict[str, Any] = {}
    for one in (DEFAULT, name):
        path = folder / f"{one}.yaml"
        values |= flatten(parse_params(path.read_text("utf-8"), path))
    return values


def preset_names(folder: Path) -> list[str]:
    """Return the names of the presets, sorted; raise UserError outside a project's folder."""
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if DEFAULT not in names:
        raise UserError(f"there is no {folder}/{DEFAULT}.yaml here: run in the project's folder.")
    return names


def parse_values(given: list[str]) -> dict[str, Any]:
    """Return `name=value` arguments by full name, each value read as params.yaml is read."""
    values: dict[str, Any] = {}
    for argument in given:
        name, equals, text = argument.partition("=")
        if not equals:
            raise UserError(f"{argument!r} is no value: write name=value, such as train.epochs=5.")
        values |= flatten({name: load_yaml(text, name)})
    return values


def with_watch(values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with download.watch set to a local download.url, and `~` made a path.

    A shell leaves the `~` in `download.url=~/photos` as it is, and DVC does not know it.
    """
    url = values.get("download.url")
    if not isinstance(url, str) or not url or "://" in url:
        return values
    path = Path(url)
    with suppress(RuntimeError):  # there is no such user: params.yaml may not have a `~` either
        path = path.expanduser()
    path = str(path)
    return {"download.watch": path} | values | {"download.url": path}


def _print_changes(name: str, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    different = {key: value for key, value in changes.items() if before[key] != value}
    if not different:
        print(f"params.yaml has all values of the preset {name} already.")
        return
    print(f"params.yaml now has the preset {name}; {counted(len(different), 'value')} changed:")
    for key, value in different.items():
        print(f"  {key}: {to_yaml(before[key])} -> {to_yaml(value)}")
    print("Run it with: make repro")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="classifier preset",
        description="Merge a preset into params.yaml; comments and other values stay.",
        epilog="Example: classifier preset photos download.url=/home/me/photos",
    )
    parser.add_argument("name", metavar="PRESET", help="a file of presets/, without .yaml")
    parser.add_argument(
        "values",
        nargs="*",
        # Without a default, argparse calls it required where PRESET is missing, too.
        default=[],
        metavar="NAME=VALUE",
        help="values to set too, by their full names",
    )
    return parser
