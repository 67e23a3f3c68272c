"""Search hyperparameters; every finished trial becomes a DVC experiment.

`classifier sweep --trials 50`
"""

import argparse

from classifier.commands.shared.options import positive
from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import check_up_to_date


def main(arguments: list[str]) -> None:
    """Parse the options and run the sweep."""
    parser = CommandParser(
        prog="classifier sweep",
        description="Search values for the knobs in sweep.yaml; every trial is an experiment.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--trials", type=positive, default=50, metavar="N", help="trials in all")
    parser.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="trials at a time; several share the cores, and may differ from `dvc repro`",
    )
    options = parser.parse_args(arguments)
    check_up_to_date("split", "backbone")
    from classifier.sweep.search import run_sweep  # noqa: PLC0415 - Optuna and PyTorch

    run_sweep(options.trials, options.workers)
