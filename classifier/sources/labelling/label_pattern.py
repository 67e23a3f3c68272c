"""Take the labels of images from their paths by a regular expression."""

import re
from collections.abc import Mapping, Sequence

from classifier.sources.labelling.labels import (
    KeptOut,
    Labels,
    check_rows,
    describe_columns,
    describe_labels,
    describe_unused_splits,
    further_columns,
    split_of_value,
    with_composed_classes,
    with_splits_of_folders,
    written_class,
)
from classifier.sources.params import DownloadParams
from classifier.sources.tables import LabelledImage, SeenFile, SplitName


def label_by_pattern(
    files: Sequence[SeenFile], written: Mapping[str, str], params: DownloadParams
) -> Labels:
    """Return the labels of the images among `files` that download.pattern finds in their paths.

    The group `class` is the class, `split` the split; other groups become columns. Without a group
    `split`, folders that name splits are honoured.

    Args:
        files: Sorted by path.
        written: Path in the source of each file whose path there is in another form of Unicode.
        params: Section `download`.

    Raises:
        UserError: A path does not fit and `on_bad_row` is `error`.
    """
    assert params.pattern is not None
    search = re.compile(params.pattern).search
    groups = re.compile(params.pattern).groupindex
    columns = [name for name in groups if name not in ("class", "split")]
    images: list[LabelledImage] = []
    kept_out: dict[str, KeptOut] = {}
    names: dict[str, SplitName] = {}
    for file in files:
        if file.status != "image":
            continue
        match = search(file.path)
        class_name = (match["class"] or "").strip() if match else ""
        if match is None or not class_name:
            kept_out[file.path] = KeptOut("no label", "its path does not fit download.pattern")
            continue
        value = (match["split"] or "") if "split" in groups else ""
        split = split_of_value(value, f"the path {file.path}")
        if split:
            names[value] = split
        values = tuple((match[name] or "").strip() for name in columns)
        # Only the part of the path with the class: other parts may be in another form of Unicode.
        first, last = (file.path.count("/", 0, place) for place in match.span("class"))
        parts = written.get(file.path, file.path).split("/")[first : last + 1]
        class_name = written_class(class_name, "/".join(parts))
        images.append(LabelledImage(file.path, class_name, split, values))
    problems = {("path", "that it does not fit"): list(kept_out)}
    check_rows(problems, params.on_bad_row, "download.pattern")
    if not names:
        images, names = with_splits_of_folders(images)
    lines = describe_labels(images, "from download.pattern", names)
    lines += [] if names else describe_unused_splits(images)
    lines += describe_columns(columns, "group" if "group" in columns else None)
    images = with_composed_classes(images)
    return Labels(images, further_columns(columns), kept_out, [], lines)
