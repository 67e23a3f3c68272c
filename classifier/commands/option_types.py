"""Types of options that several commands have."""

import argparse


def positive(text: str) -> int:
    """Return a number of at least 1; argparse says what is wrong with any other text."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value
