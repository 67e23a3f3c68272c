"""Draw the test images of a class with heat maps, mistakes first.

`classifier gallery CLASS` writes results/gallery.png.
"""

from pathlib import Path

from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import note_outdated
from classifier.core.text import counted

DATA, MODELS, GALLERY = Path("data/split"), Path("models"), Path("results/gallery.png")


def main(arguments: list[str]) -> None:
    """Draw the images of the class that is named."""
    parser = CommandParser(
        prog="classifier gallery",
        description="Draw the test images of a class with heat maps, mistakes first.",
        epilog=f"Writes {GALLERY.as_posix()}.",
    )
    parser.add_argument("name", metavar="CLASS", help="name of the class")
    options = parser.parse_args(arguments)
    note_outdated("train")
    # PyTorch and Matplotlib are slow to import, which --help need not wait for.
    from classifier.evaluation.galleries import class_gallery  # noqa: PLC0415
    from classifier.models.devices import choose_device, prepare_pytorch  # noqa: PLC0415
    from classifier.models.prediction import load_trained  # noqa: PLC0415
    from classifier.plotting.figures import write_png  # noqa: PLC0415

    prepare_pytorch()
    gallery = class_gallery(*load_trained(MODELS, DATA, choose_device()), options.name)
    write_png(gallery.figure, GALLERY)
    print(f"correct: {gallery.correct} of {counted(gallery.images, 'image')}; {GALLERY.as_posix()}")
