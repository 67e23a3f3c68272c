"""Choose the unlabelled images that are most useful to label.

`classifier label-next FOLDER` writes results/label_next.csv and results/label_next.png. Standard
error names the images and folders that cannot be read, and the exit status is then 1.
"""

import sys
from pathlib import Path

from classifier.commands.shared.label_studio_options import (
    add_label_studio_options,
    parse_with_label_studio,
    write_label_studio,
)
from classifier.commands.shared.options import file_path, positive
from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import note_outdated
from classifier.core.text import counted

MODELS, RESULTS = Path("models"), Path("results")


def main(arguments: list[str]) -> None:
    """Choose images of the folder that is named; write a table and a sheet of images."""
    parser = CommandParser(
        prog="classifier label-next",
        description="Choose the images of a folder that are most useful to label (BADGE).",
        epilog="Writes results/label_next.csv and results/label_next.png.",
    )
    parser.add_argument(
        "folder", type=file_path, metavar="FOLDER", help="folder of images without labels"
    )
    parser.add_argument(
        "--count",
        type=positive,
        default=60,
        metavar="N",
        help="number of images to choose (default: %(default)s)",
    )
    add_label_studio_options(parser)
    options = parse_with_label_studio(parser, arguments)
    note_outdated("train")
    folder: Path = options.folder
    # PyTorch is slow to import, which --help need not wait for.
    from classifier.core.files import write_csv  # noqa: PLC0415
    from classifier.evaluation.labels.label_next import (  # noqa: PLC0415
        choose,
        draw_chosen,
        look_at,
        ranking,
    )
    from classifier.evaluation.labels.label_studio import Suggestion  # noqa: PLC0415
    from classifier.models.bundle import load_bundle  # noqa: PLC0415
    from classifier.models.devices import choose_device, prepare_pytorch  # noqa: PLC0415
    from classifier.plotting.figures import write_png  # noqa: PLC0415

    prepare_pytorch()
    bundle = load_bundle(MODELS, choose_device())
    pool = look_at(folder, bundle)
    order = choose(pool.features, pool.given, options.count)
    table = ranking(pool, folder, bundle.spec.classes, order)
    write_csv(RESULTS / "label_next.csv", table)
    write_png(draw_chosen(pool, bundle, order), RESULTS / "label_next.png")
    print(
        f"to label next, {len(order)} of {counted(len(pool.paths), 'image')}: "
        "results/label_next.csv, the first in results/label_next.png"
    )
    suggestions = map(Suggestion, table["path"], table["predicted"], table["confidence"])
    tasks = RESULTS / "label_next.json"
    write_label_studio(options, tasks, suggestions, bundle.spec.classes)
    if pool.unreadable:
        sys.exit(1)
