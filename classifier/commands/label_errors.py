"""List the images whose label is probably wrong.

`classifier label-errors` writes results/label_errors.csv and results/label_errors.png.
"""

from pathlib import Path

from classifier.commands.shared.label_studio_options import (
    add_label_studio_options,
    parse_with_label_studio,
    write_label_studio,
)
from classifier.commands.shared.options import positive
from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import note_outdated

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results")


def main(arguments: list[str]) -> None:
    """Search all three splits for label errors; write a table and a sheet of images."""
    parser = CommandParser(
        prog="classifier label-errors",
        description="List the images whose label is probably wrong (confident learning).",
        epilog="Writes results/label_errors.csv and results/label_errors.png.",
    )
    parser.add_argument(
        "--count", type=positive, metavar="N", help="number of images to list (default: all)"
    )
    add_label_studio_options(parser)
    options = parse_with_label_studio(parser, arguments)
    note_outdated("train")
    # PyTorch and scikit-learn are slow to import, which --help need not wait for.
    from classifier.core.files import write_csv  # noqa: PLC0415
    from classifier.evaluation.labels.label_errors import (  # noqa: PLC0415
        describe_unjudged,
        draw_label_errors,
        find_label_errors,
    )
    from classifier.evaluation.labels.label_studio import Suggestion  # noqa: PLC0415
    from classifier.models.devices import choose_device, prepare_pytorch  # noqa: PLC0415
    from classifier.models.prediction import load_trained  # noqa: PLC0415
    from classifier.plotting.figures import write_png  # noqa: PLC0415

    prepare_pytorch()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    table = find_label_errors(bundle, dataset)
    listed = table.head(options.count or len(table))
    write_csv(RESULTS / "label_errors.csv", listed)
    write_png(draw_label_errors(dataset, listed), RESULTS / "label_errors.png")
    print(
        f"labels in doubt: {len(table)} of {len(dataset.images)}; probably wrong: "
        f"{table['likely_error'].sum()}; see "
        "results/label_errors.csv, the first in results/label_errors.png"
    )
    if (line := describe_unjudged(dataset)) is not None:
        print(line)
    suggestions = map(
        Suggestion, listed["path"], listed["suggested"], listed["suggested_confidence"]
    )
    write_label_studio(options, RESULTS / "label_errors.json", suggestions, dataset.classes)
