"""Test every image once, by a model that has not seen it.

`classifier cross-validate --folds 5` writes results/cross_validate/.
"""

from pathlib import Path

from classifier.commands.shared.options import whole
from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import check_up_to_date

RESULTS = Path("results/cross_validate")
_MOST_FOLDS = 100  # as split.folds allows


def main(arguments: list[str]) -> None:
    """Train a model for each fold; write the pooled measures and predictions."""
    parser = CommandParser(
        prog="classifier cross-validate",
        description="Train a model for each fold of data/split and pool their answers: accuracy, "
        "macro F1 and per class over all images.",
        epilog=f"Writes {RESULTS}/metrics.json, predictions.csv and per_class.csv.",
    )
    parser.add_argument(
        "--folds",
        type=whole(2, _MOST_FOLDS),
        default=5,
        metavar="N",
        help=f"number of folds, 2 to {_MOST_FOLDS} (default: %(default)s)",
    )
    parser.add_argument(
        "--losses",
        action="store_true",
        help="also write the loss of each image to data/losses.csv, for train.curriculum",
    )
    options = parser.parse_args(arguments)
    check_up_to_date("split", "backbone")
    # PyTorch and scikit-learn are slow to import, which --help need not wait for.
    from classifier.sweep.cross_validation import (  # noqa: PLC0415
        cross_validate,
        write_cross_validation,
    )
    from classifier.training.curriculum import LOSSES, write_losses  # noqa: PLC0415

    result = cross_validate(options.folds)
    write_cross_validation(result, RESULTS)
    if options.losses:
        answers = result.answers
        write_losses(LOSSES, answers.dataset.manifest.iloc[answers.rows], result.losses())
        print(f"{LOSSES} has the loss of {len(result.folds):,} images")
    print(result.line())
