"""Compare recorded answers with the test split, and say what has changed.

    classifier serve --record answers.jsonl
    classifier predict new/ --json > answers.jsonl
    classifier drift answers.jsonl

Confidence, outside score, brightness and size of the images are compared by Kolmogorov-Smirnov
tests, the shares of the classes by a chi-squared test, all corrected for their number (Holm). The
exit status is 0 whatever is found.
"""

from classifier.commands.shared.options import add_models_option, file_path
from classifier.commands.shared.parser import CommandParser
from classifier.core.text import escape_name


def main(arguments: list[str]) -> None:
    """Print how the answers differ from those for the test split."""
    parser = CommandParser(
        prog="classifier drift",
        description="Compare recorded answers with the test split, and say what has changed.",
    )
    parser.add_argument(
        "answers",
        type=file_path,
        metavar="FILE",
        help="what `serve --record` or `predict --json` has written",
    )
    add_models_option(parser)
    options = parser.parse_args(arguments)
    # SciPy is slow to import, which --help need not wait for.
    from classifier.monitoring.drift import describe_drift, measure_drift  # noqa: PLC0415
    from classifier.monitoring.recorded import read_answers, read_reference  # noqa: PLC0415

    reference = read_reference(options.models)
    drift = measure_drift(reference, read_answers(options.answers, reference))
    print(*map(escape_name, describe_drift(drift, reference)), sep="\n")
