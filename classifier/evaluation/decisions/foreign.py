"""Read images that show none of the classes, to measure how many of them are refused."""

from pathlib import Path

import numpy as np

from classifier.core.errors import UserError
from classifier.core.text import escape_name
from classifier.inference.image_files import decode, describe_search, read_images, search_folder
from classifier.models.bundle import Bundle
from classifier.models.network_outputs import NetworkOutputs, network_outputs
from classifier.processing.images import read_image


def foreign_outputs(folder: Path, bundle: Bundle, batch_size: int) -> NetworkOutputs | None:
    """Return the outputs of the images in `folder` and below; None without images or folder.

    The console says how many images were used and which other files were not, and names images
    that the decoder complained about.

    Raises:
        UserError: an image or a folder cannot be read.
    """
    if not folder.is_dir():
        return None
    search = search_folder(folder)
    # Which belongs to the project.
    search.not_used = [file for file in search.not_used if Path(file.path) != folder / ".gitignore"]
    pixels = []
    for found in read_images(search):
        image = decode(found, lambda content: read_image(content, bundle.spec.preprocessing))
        name = escape_name(found.name)
        if isinstance(image, str):
            raise UserError(f"{name} cannot be used: {image} Remove it from {folder}.")
        for warning in image.warnings:
            print(f"evaluate: warning: {name}: {warning}")
        pixels.append(image.pixels)
    if pixels or search.not_used:
        print(f"{folder}: {describe_search(search, len(pixels), 0)}")
    if not pixels:
        return None
    return network_outputs(bundle, np.stack(pixels), np.arange(len(pixels)), batch_size=batch_size)
