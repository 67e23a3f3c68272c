"""Suggest a learning rate for params.yaml from a range test.

`classifier lr-find` writes results/lr_finder.csv and results/lr_finder.png.
"""

import argparse


def main(arguments: list[str]) -> None:
    """Parse no options but --help, and run the program."""
    argparse.ArgumentParser(
        prog="classifier lr-find",
        description="Suggest a learning rate for params.yaml from a range test.",
        epilog="Writes results/lr_finder.csv and results/lr_finder.png.",
    ).parse_args(arguments)
    from classifier.training.lr_finder import main as run  # noqa: PLC0415 - PyTorch; not for --help

    run()
