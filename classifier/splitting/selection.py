"""Choose the images that take part, before they are decoded; every other one has its reason."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from classifier.sources.corrections import Correction
from classifier.splitting.assignment import check_class_sizes, without_untrained
from classifier.splitting.params import SplitParams
from classifier.splitting.raw_images import RawImage, without_excluded, without_small
from classifier.splitting.relabelling import Relabelled, relabel


class LeftOut(NamedTuple):
    """Why an image is not used: `excluded`, `dropped`, `unreadable` or `duplicate`, and details."""

    status: str
    reason: str


class Selection(NamedTuple):
    """The images that take part, and why others do not.

    Attributes:
        images: Sorted by path, with their corrected classes.
        relabelled: What the corrections did.
        left_out: By path.
        dropped: Sizes of the classes that are too small, by name.
        untrained: Sizes of the classes without training images, by name.
    """

    images: list[RawImage]
    relabelled: Relabelled
    left_out: dict[str, LeftOut]
    dropped: dict[str, int]
    untrained: dict[str, int]


def select_images(
    labelled: list[RawImage],
    corrections: Sequence[Correction],
    digests: Callable[[], dict[str, str]],
    params: SplitParams,
) -> Selection:
    """Apply the corrections; leave out classes that are excluded, too small or without training.

    Args:
        labelled: All images with a label, sorted by path.
        corrections: See `relabel`.
        digests: See `relabel`.
        params: Section `split`.

    Raises:
        UserError: A correction or an excluded class is unknown, or a class would be missing in a
            split.
    """
    relabelled = relabel(labelled, corrections, digests)
    left_out = {path: LeftOut("excluded", reason) for path, reason in relabelled.excluded.items()}
    excluded = [unicodedata.normalize("NFC", name) for name in params.exclude_classes]
    classes = {image.class_name for image in labelled}
    wanted = without_excluded(relabelled.images, excluded, classes)
    left_out |= reasons(relabelled.images, wanted, "excluded", "split.exclude_classes")
    trained, untrained = wanted, {}
    if params.allow_missing_classes:
        trained, untrained = without_untrained(wanted)
        left_out |= reasons(wanted, trained, "dropped", "its class has no training images")
    before = classes - {*excluded, *untrained}
    images, dropped = without_small(trained, params.min_images_per_class, before)
    left_out |= reasons(trained, images, "dropped", too_small(params))
    check_class_sizes(images, params)
    return Selection(images, relabelled, left_out, dropped, untrained)


def reasons(
    before: Sequence[RawImage], after: Sequence[RawImage], status: str, reason: str
) -> dict[str, LeftOut]:
    """Return this status and reason for the images of `before` that are not in `after`."""
    if len(before) == len(after):
        return {}
    kept = {image.path for image in after}
    return {image.path: LeftOut(status, reason) for image in before if image.path not in kept}


def too_small(params: SplitParams) -> str:
    """Return the reason why the images of a small class are dropped."""
    return f"its class has fewer than {params.min_images_per_class} images"
