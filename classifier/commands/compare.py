"""Compare the predictions of two runs on the same images.

`classifier compare before/predictions.csv after/predictions.csv`
"""

from classifier.commands.shared.options import file_path
from classifier.commands.shared.parser import CommandParser


def main(arguments: list[str]) -> None:
    """Print the comparison of two predictions.csv files in one sentence."""
    parser = CommandParser(
        prog="classifier compare",
        description="Say whether one run's predictions are better than another's.",
    )
    parser.add_argument(
        "before", type=file_path, metavar="BEFORE", help="predictions.csv of the first run"
    )
    parser.add_argument(
        "after", type=file_path, metavar="AFTER", help="predictions.csv of the second run"
    )
    options = parser.parse_args(arguments)
    from classifier.evaluation.compare import compare  # noqa: PLC0415 - pandas; not for --help

    print(compare(options.before, options.after))
