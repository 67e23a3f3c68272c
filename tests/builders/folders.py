"""Read labels from the folders of files that need not exist."""

from typing import Any

from builders.sources import local_params
from classifier.sources.labelling.labels import Labels
from classifier.sources.labelling.layout import label_by_folders
from classifier.sources.tables import SeenFile


def read_folders(*paths: str, folders: tuple[str, ...] = (), **changes: Any) -> Labels:
    """The labels of these files; what has no ending .png is no image."""
    files = [
        SeenFile(path, 1, "image" if path.endswith(".png") else "no image")
        for path in sorted(paths)
    ]
    return label_by_folders(files, folders, {}, local_params("folder", "pets", **changes))


def facts(*paths: str, **changes: Any) -> dict[str, tuple[str, str]]:
    images = read_folders(*paths, **changes).images
    return {image.path: (image.class_name, image.split) for image in images}


def places(*paths: str, **changes: Any) -> set[tuple[str, str]]:
    """Class and split of the images; one word where no split is given."""
    return set(facts(*paths, **changes).values())
