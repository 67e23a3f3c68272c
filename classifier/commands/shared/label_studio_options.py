"""The options of the commands that write tasks for Label Studio."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classifier.evaluation.labels.label_studio import Suggestion


def add_label_studio_options(parser: argparse.ArgumentParser) -> None:
    """Add --label-studio and --path-prefix."""
    parser.add_argument(
        "--label-studio",
        action="store_true",
        help="write tasks for Label Studio too, and its labelling page as XML",
    )
    parser.add_argument(
        "--path-prefix",
        default="",
        metavar="FOLDER",
        help="path of the images below the folder that Label Studio serves "
        "(LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT); with --label-studio",
    )


def parse_with_label_studio(
    parser: argparse.ArgumentParser, arguments: list[str]
) -> argparse.Namespace:
    """Return the options; raise UserError where --path-prefix would change nothing."""
    options = parser.parse_args(arguments)
    if options.path_prefix and not options.label_studio:
        parser.error("--path-prefix changes nothing without --label-studio")
    return options


def write_label_studio(
    options: argparse.Namespace,
    file: Path,
    suggestions: Iterable["Suggestion"],
    classes: Sequence[str],
) -> None:
    """Write the tasks to `file` and the labelling page beside it, if the options ask for it."""
    if not options.label_studio:
        return
    from classifier.core.files import json_bytes, write_bytes  # noqa: PLC0415
    from classifier.evaluation.labels.label_studio import (  # noqa: PLC0415
        label_studio_tasks,
        labelling_page,
    )

    tasks = label_studio_tasks(suggestions, options.path_prefix)
    page = file.with_suffix(".xml")
    write_bytes(file, json_bytes(tasks))
    write_bytes(page, labelling_page(classes).encode())
    print(f"{file} holds {len(tasks)} tasks for Label Studio, {page} the labelling page")
