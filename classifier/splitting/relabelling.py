"""Apply data/corrections.csv to the labels: other classes, and images that are excluded."""

import difflib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.text import counted
from classifier.sources.corrections import EXCLUDE, Correction
from classifier.splitting.raw_images import RawImage

_HASH = "sha256:"
# Number of corrections that are printed.
_MOST_SHOWN = 10


class Relabelled(NamedTuple):
    """The images with their right classes, and what the corrections did.

    Attributes:
        images: Without those that are excluded.
        corrected: Class before and reason, by path, of each image whose class has changed.
        excluded: Reason by path.
        confirmed: Number of images whose class a correction confirms.
    """

    images: list[RawImage]
    corrected: dict[str, tuple[str, str]]
    excluded: dict[str, str]
    confirmed: int

    def lines(self) -> list[str]:
        """Describe what the corrections did, in lines for the terminal."""
        if not (self.corrected or self.excluded or self.confirmed):
            return []
        classes = {image.path: image.class_name for image in self.images}
        details = [
            f"corrected {path} from {before} to {classes[path]}: {reason}"
            for path, (before, reason) in self.corrected.items()
        ]
        details += [f"excluded {path}: {reason}" for path, reason in self.excluded.items()]
        more = len(details) - _MOST_SHOWN
        return [
            f"data/corrections.csv: {counted(len(self.corrected), 'label')} corrected, "
            f"{counted(len(self.excluded), 'image')} excluded, "
            f"{counted(self.confirmed, 'label')} confirmed",
            *details[:_MOST_SHOWN],
            *([f"{more} more in results/split/files.csv"] if more > 0 else []),
        ]


def relabel(
    images: list[RawImage],
    corrections: Sequence[Correction],
    digests: Callable[[], Mapping[str, str]],
) -> Relabelled:
    """Return the images as the corrections say. Of several for one image, the last one counts.

    Args:
        images: All that have a label.
        corrections: See `classifier.sources.corrections`.
        digests: Returns the SHA-256 of each image's file, in hexadecimal, by path; is called only
            if a correction names an image by its hash.

    Raises:
        UserError: A correction fits no image, or names a class that there is not.
    """
    last = _by_path(images, corrections, digests)
    kept: list[RawImage] = []
    corrected: dict[str, tuple[str, str]] = {}
    excluded: dict[str, str] = {}
    for image in images:
        correction = last.get(image.path)
        if correction is not None and correction.class_name == EXCLUDE:
            excluded[image.path] = correction.reason
            continue
        if correction is not None and correction.class_name != image.class_name:
            corrected[image.path] = (image.class_name, correction.reason)
            kept.append(image._replace(class_name=correction.class_name))
        else:
            kept.append(image)
    return Relabelled(kept, corrected, excluded, len(last) - len(corrected) - len(excluded))


def _by_path(
    images: Sequence[RawImage],
    corrections: Sequence[Correction],
    digests: Callable[[], Mapping[str, str]],
) -> dict[str, Correction]:
    """Return the last correction of each image, its class written as the data writes it."""
    paths = {unicodedata.normalize("NFC", image.path): image.path for image in images}
    classes = {image.class_name for image in images}
    owners: dict[str, list[str]] = {}
    if any(correction.path.startswith(_HASH) for correction in corrections):
        for path, digest in digests().items():
            owners.setdefault(f"{_HASH}{digest}", []).append(path)
    last: dict[str, Correction] = {}
    for correction in corrections:
        name = unicodedata.normalize("NFC", correction.path)
        is_hash = name.startswith(_HASH)
        fitting = (
            owners.get(name.lower(), []) if is_hash else [paths[name]] if name in paths else []
        )
        if not fitting:
            raise UserError(_no_image(correction.path, paths))
        class_name = unicodedata.normalize("NFC", correction.class_name)
        if class_name not in classes and class_name != EXCLUDE:
            raise UserError(_no_class(correction, sorted(classes)))
        last.update(dict.fromkeys(fitting, correction._replace(class_name=class_name)))
    return last


def _no_image(name: str, paths: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, paths, n=1)
    hint = f"did you mean {close[0]}? " if close else "perhaps it is misspelt. "
    return (
        f"data/corrections.csv names {name}, but no image with a label is called so: {hint}"
        "Correct or remove that row."
    )


def _no_class(correction: Correction, classes: Sequence[str]) -> str:
    close = difflib.get_close_matches(correction.class_name, classes, n=1)
    hint = f"did you mean {close[0]}? " if close else "name one of these. "
    return (
        f"data/corrections.csv gives {correction.path} the class {correction.class_name}, but the "
        f"classes are {', '.join(classes)}: {hint}To leave the image out, write {EXCLUDE}."
    )
