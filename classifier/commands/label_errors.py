"""List the images whose label is probably wrong.

`classifier label-errors` writes results/label_errors.csv and results/label_errors.png.
"""

import argparse


def main(arguments: list[str]) -> None:
    """Parse no options but --help, and run the program."""
    argparse.ArgumentParser(
        prog="classifier label-errors",
        description="List the images whose label is probably wrong.",
        epilog="Writes results/label_errors.csv and results/label_errors.png.",
    ).parse_args(arguments)
    from classifier.evaluation.label_errors import main as run  # noqa: PLC0415 - PyTorch; not for --help

    run()
