"""Run `classifier <command>`: the table of commands and the choice of one.

Each command is a module of this package, named like the command with `_` for `-`, that has
`main(arguments: list[str]) -> None`. Only the module of the chosen command is imported, so that
`classifier predict` and `classifier --help` start without PyTorch and pandas.
"""

import argparse
import difflib
import sys
from importlib import import_module
from typing import NoReturn

from classifier.commands.shared.parser import CommandParser
from classifier.core.errors import UserError
from classifier.core.processes import ending_at_once, run_program

COMMANDS = {
    "predict": "classify image files with the trained model",
    "serve": "serve the model over HTTP, with a page to try it",
    "drift": "compare recorded answers with the test split, and say what has changed",
    "verify": "replay the golden images of an export on this machine",
    "export-page": "write a folder of static files that classifies images in the browser",
    "compare": "compare the predictions of two runs on the same images",
    "gallery": "draw the test images of a class with heat maps, mistakes first",
    "label-errors": "list images whose label is probably wrong",
    "label-next": "choose the unlabelled images that are most useful to label",
    "review": "review doubtful labels on a local page; decisions go to data/corrections.csv",
    "robustness": "measure the accuracy under adversarial attacks",
    "lr-find": "suggest a learning rate from a range test",
    "cross-validate": "test every image once, by a model that has not seen it",
    "sweep": "search hyperparameters; every trial becomes a DVC experiment",
    "push": "push data, models and the results of every run to the DVC remote",
    "preset": "merge a preset, such as photos, into params.yaml",
    "check": "validate params.yaml before anything runs",
    "summary": "print the metrics of the last run and where its charts are",
}
# What the commands were called when each was a program of its own.
RENAMED = {
    "classify": "predict",
    "class-sheet": "gallery",
    "label-doubts": "label-errors",
    "lr-finder": "lr-find",
    "share": "push",
    "check-params": "check",
}


def run() -> NoReturn:
    """Run the program `classifier` with the arguments of this process, and end it."""
    with ending_at_once():
        run_program(lambda: main(sys.argv[1:]))


def main(arguments: list[str]) -> None:
    """Run the command that `arguments` begin with; raise UserError where there is none such."""
    if not arguments:
        raise UserError("name a command: `classifier --help` lists all.")
    if arguments[0].startswith("-") and arguments[0] not in ("-h", "--help"):
        raise UserError(f"there is no option {arguments[0]} before a command: `classifier --help`.")
    # argparse.REMAINDER would take away a `--` that follows the command.
    name: str = _parser().parse_args(arguments[:1]).command
    if name not in COMMANDS:
        raise UserError(_unknown_command(name))
    try:
        import_module(f"classifier.commands.{name.replace('-', '_')}").main(arguments[1:])
    except ModuleNotFoundError as error:
        # A container that serves has some packages of the library alone.
        first, _, rest = (error.name or "").partition(".")
        if not first or (first == "classifier" and "." in rest):
            raise
        raise UserError(
            f"`classifier {name}` needs the package {error.name}, which is not installed here: run "
            "it where the whole project is."
        ) from error


def _unknown_command(name: str) -> str:
    plain = name.replace("_", "-")
    if plain in RENAMED:
        return f"{name} is now `classifier {RENAMED[plain]}`."
    close = difflib.get_close_matches(plain, COMMANDS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"there is no command {name!r}: {hint}`classifier --help` lists all."


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = CommandParser(
        prog="classifier",
        usage="classifier [--help] COMMAND ...",
        description="Train, understand and use an image classifier.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
        + "\n\n`classifier COMMAND --help` describes the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", help="one of the commands below")
    return parser
