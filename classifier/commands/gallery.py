"""Draw the test images of a class with heat maps, mistakes first.

`classifier gallery CLASS` writes results/gallery.png.
"""

import argparse


def main(arguments: list[str]) -> None:
    """Draw the images of the class that is named."""
    parser = argparse.ArgumentParser(
        prog="classifier gallery",
        description="Draw the test images of a class with heat maps, mistakes first.",
        epilog="Writes results/gallery.png.",
    )
    parser.add_argument("name", metavar="CLASS", help="name of the class")
    options = parser.parse_args(arguments)
    from classifier.evaluation.class_gallery import main as run  # noqa: PLC0415 - PyTorch

    run(options.name)
