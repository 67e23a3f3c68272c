"""Read images that show none of the classes, to measure how many of them are refused."""

from pathlib import Path

import numpy as np

from classifier.core.errors import UserError
from classifier.core.text import escape_name
from classifier.evaluation.params import NO_FOREIGN, EvaluateParams
from classifier.inference.image_files import decode, describe_search, read_images, search_folder
from classifier.models.bundle import Bundle
from classifier.models.network_outputs import NetworkOutputs, network_outputs
from classifier.processing.images import read_image
from classifier.sources.params import refuse_written
from classifier.sources.tracking import describe_untracked

_BEFORE = Path("data/foreign")


def foreign_outputs(params: EvaluateParams, bundle: Bundle) -> NetworkOutputs | None:
    """Return the outputs of the images in `evaluate.foreign` and below; None without images.

    The console says how many images were used and which other files were not, names images that
    the decoder complained about, and says if clones will lack the folder.

    Raises:
        UserError: there is no such folder, or an image or a folder in it cannot be read.
    """
    check_foreign(params)
    if params.foreign == NO_FOREIGN:
        return None
    folder = Path(params.foreign)
    search = search_folder(folder)
    pixels = []
    for found in read_images(search):
        image = decode(found, lambda content: read_image(content, bundle.spec.preprocessing))
        name = escape_name(found.name)
        if isinstance(image, str):
            raise UserError(f"{name} cannot be used: {image} Remove it from {folder}.")
        for warning in image.warnings:
            print(f"evaluate: warning: {name}: {warning}")
        pixels.append(image.pixels)
    print(f"{folder}: {describe_search(search, len(pixels), 0)}")
    for line in describe_untracked(folder, "evaluate.foreign"):
        print(f"evaluate: {escape_name(line)}")
    if not pixels:
        return None
    rows = np.arange(len(pixels))
    return network_outputs(bundle, np.stack(pixels), rows, batch_size=params.batch_size)


def check_foreign(params: EvaluateParams) -> None:
    """Raise UserError if `evaluate.foreign` is neither a folder nor the file that means none.

    Also for a folder that shares files with what the stages write, and where images lie in the
    folder that earlier versions read without a parameter.
    """
    if params.foreign == NO_FOREIGN and _BEFORE.is_dir() and search_folder(_BEFORE).sources:
        raise UserError(
            f"{_BEFORE} has images, which are read no more without evaluate.foreign: set it to "
            f"{_BEFORE}, or remove them."
        )
    if params.foreign != NO_FOREIGN and not Path(params.foreign).is_dir():
        raise UserError(
            f"evaluate.foreign is {params.foreign!r}, but there is no such folder: write the path "
            f"of a folder of images that show none of the classes, or {NO_FOREIGN} for none."
        )
    try:
        refuse_written("evaluate.foreign", Path(params.foreign))
    except ValueError as error:
        raise UserError(str(error)) from None
