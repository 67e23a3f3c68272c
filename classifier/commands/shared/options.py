"""What several commands share: types of options, --models, the sentence about a missing extra."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.core.errors import UserError


def not_empty(text: str) -> str:
    """Return the name of a file or folder; an empty one, which Path takes for `.`, is refused."""
    if not text:
        raise argparse.ArgumentTypeError(
            "the path is empty; perhaps a variable of the shell is not set"
        )
    return text


def file_path(text: str) -> Path:
    """Return a path; argparse says what is wrong with an empty one."""
    return Path(not_empty(text))


def positive(text: str) -> int:
    """Return a number of at least 1; argparse says what is wrong with any other text."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return the type of an option: a whole number from `low` to `high`."""

    def read(text: str) -> int:
        value = int(text) if text.lstrip("-").isdecimal() and text.isascii() else None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is no whole number from {low:,} to {high:,}")
        return value

    return read


def add_models_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --models, the folder that a model is loaded from."""
    parser.add_argument(
        "--models",
        type=file_path,
        default=Path("models"),
        metavar="FOLDER",
        help="folder of the model, or of an export (default: %(default)s)",
    )


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Turn a failed import into a UserError that names the extra which brings the package."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is missing: install the extra `{name}`, or run `make setup`."
        ) from None
