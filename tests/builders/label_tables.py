"""A few images, and labelling them by the content of a table."""

from typing import Any

from builders.sources import local_params
from classifier.sources.labelling.label_table import label_by_table
from classifier.sources.labelling.labels import Labels
from classifier.sources.tables import SeenFile

IMAGES = ("a/001.png", "a/002.png", "b/003.png", "b/004.png")
TABLE = {"file": "t.csv", "path": "id", "class": "kind"}


def label(
    table: str | bytes, images: tuple[str, ...] = IMAGES, name: str = "t.csv", **changes: Any
) -> Labels:
    """The labels of these images by a table of this content within their folder."""
    files = [SeenFile(path, 1, "image") for path in sorted(images)]
    content = table.encode() if isinstance(table, str) else table
    section = {"labels": TABLE | {"file": name}} | changes
    params = local_params("folder", "pets", **section)
    return label_by_table(files, {name: content}.get, params)


def classes(labels: Labels) -> dict[str, str]:
    return {image.path: image.class_name for image in labels.images}


ALL = dict(zip(IMAGES, ("cat", "dog", "cat", "dog"), strict=True))
