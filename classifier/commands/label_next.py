"""Choose the unlabelled images that are most useful to label.

`classifier label-next FOLDER` writes results/label_next.csv and results/label_next.png.
"""

import argparse
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Choose images of the folder that is named."""
    parser = argparse.ArgumentParser(
        prog="classifier label-next",
        description="Choose the images of a folder that are most useful to label (BADGE).",
        epilog="Writes results/label_next.csv and results/label_next.png.",
    )
    parser.add_argument("folder", type=Path, help="folder of images without labels")
    options = parser.parse_args(arguments)
    from classifier.evaluation.label_next import main as run  # noqa: PLC0415 - PyTorch

    run(options.folder)
