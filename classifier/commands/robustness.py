"""Measure the test accuracy under adversarial attacks (FGSM, PGD).

`classifier robustness` writes results/robustness.csv and results/robustness.png.
"""

import argparse


def main(arguments: list[str]) -> None:
    """Parse no options but --help, and run the program."""
    argparse.ArgumentParser(
        prog="classifier robustness",
        description="Measure the test accuracy under adversarial attacks (FGSM, PGD).",
        epilog="Writes results/robustness.csv and results/robustness.png.",
    ).parse_args(arguments)
    from classifier.evaluation.robustness import main as run  # noqa: PLC0415 - PyTorch; not for --help

    run()
