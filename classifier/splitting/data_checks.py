"""Check whether a data set is fit for training: sizes, contents, duplicates, class counts."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.splitting.image_measures import brightness_and_contrast
from classifier.splitting.params import CheckParams
from classifier.splitting.split import SplitResult

# White levels of images of 8, 10, 12, 14 and 16 bits.
WHITE_LEVELS = (255, 1023, 4095, 16383, 65535)
_MOST_NAMED = 5


class Check(NamedTuple):
    """The result of one check.

    Attributes:
        name: What is checked.
        limit: The parameter that sets the limit, and its value; empty if there is none.
        cases: Number of images or classes beyond the limit.
        worst: The worst of them; empty if there is none.
    """

    name: str
    limit: str
    cases: int
    worst: str


def check_images(
    dataset: Dataset, result: SplitResult, odd: list[tuple[str, str]], params: CheckParams
) -> list[Check]:
    """Run all checks; `cases` is 0 if nothing is wrong.

    Args:
        dataset: The data set.
        result: Of the split.
        odd: See `odd_images.odd_images`.
        params: The limits.
    """
    images = result.duplicates.images
    contradicting = [
        images[pair.first].path
        for pair in result.duplicates.pairs
        if images[pair.first].class_name != images[pair.second].class_name
    ]
    leaking = [dataset.rows(split)[dataset.leaked(split)] for split in ("val", "test")]
    leaked = dataset.manifest["path"].to_numpy()[np.concatenate(leaking)].tolist()
    return [
        _listed("cannot be read", [path for path, _ in result.problems]),
        *_check_files(dataset, result, params),
        *_check_white_level(dataset.preprocessing.white_level, result),
        _listed("decoder warnings", _paths(result.complaints)),
        _all_named("unlike the other images of the class", _paths(odd)),
        _listed("near-duplicates with different labels", contradicting),
        _listed("val or test images with a duplicate or their group in train", leaked),
        *_check_classes(dataset, params),
    ]


def checks_table(checks: list[Check]) -> pd.DataFrame:
    """Return columns `check, limit, cases, worst, verdict`; the verdict is good or warning."""
    rows = [(*check, "warning" if check.cases else "good") for check in checks]
    return pd.DataFrame(rows, columns=["check", "limit", "cases", "worst", "verdict"])


def describe_warnings(checks: list[Check], params: CheckParams) -> list[str]:
    """Return a line for each check that found something.

    Raises:
        UserError: `on_warning` is `fail` and a check found something; the message names them all.
    """
    lines = [
        f"{check.name}: {check.cases} ({f'{check.limit}, ' if check.limit else ''}{check.worst})"
        for check in checks
        if check.cases
    ]
    if lines and params.on_warning == "fail":
        raise UserError(
            f"data checks failed: {'; '.join(lines)}. See results/split/checks.csv; fix the data, "
            "change split.checks, or set split.checks.on_warning: warn."
        )
    return lines


def _check_files(dataset: Dataset, result: SplitResult, params: CheckParams) -> list[Check]:
    paths = dataset.manifest["path"].tolist()
    sides = dataset.manifest[["width", "height"]].to_numpy()
    short, long = sides.min(axis=1), sides.max(axis=1)
    ratio = long / short
    _, contrast = brightness_and_contrast(result.thumbnails)
    side, contrast_limit = f"min_side {params.min_side}", f"min_contrast {params.min_contrast:g}"
    longest = f"max_aspect_ratio {params.max_aspect_ratio:g}"
    return [
        _above("too small", side, -short, -params.min_side, paths),
        _above("too large", f"max_side {params.max_side}", long, params.max_side, paths),
        _above("too long", longest, ratio, params.max_aspect_ratio, paths),
        _above("blank", contrast_limit, -contrast, -params.min_contrast, paths),
    ]


def _check_white_level(white_level: float, result: SplitResult) -> list[Check]:
    """Compare the white level with the largest value of all images of more than 8 bits a value."""
    limit, largest = f"white_level {white_level:g}", int(result.largest.max(initial=0))
    wide = int((result.largest > 0).sum())
    level = next((level for level in WHITE_LEVELS if level >= largest), largest)
    advice = f"largest value {largest}: set split.white_level to {level}"
    dark = 0 < largest < white_level / 8
    bright = int((result.largest > white_level).sum())
    dark_cases = wide if dark else 0
    return [
        Check("wide images that become nearly black", limit, dark_cases, advice if dark else ""),
        Check("images brighter than white", limit, bright, advice if bright else ""),
    ]


def _check_classes(dataset: Dataset, params: CheckParams) -> list[Check]:
    classes, tests = dataset.classes, dataset.class_counts("test")
    sizes = np.bincount(dataset.labels, minlength=len(classes))
    imbalance = sizes.max() / sizes
    fewest = f"min_test_images {params.min_test_images}"
    ratio, limit = f"{imbalance.max():.1f}", f"max_imbalance {params.max_imbalance:g}"
    return [
        _above("classes with few test images", fewest, -tests, -params.min_test_images, classes),
        _above(
            f"classes up to {ratio} times smaller than the largest",
            limit,
            imbalance,
            params.max_imbalance,
            classes,
        ),
    ]


def _above(name: str, limit: str, badness: np.ndarray, most: float, names: list[str]) -> Check:
    """Count where `badness`, `(n,)`, is above `most`; `names` belong to its values."""
    cases = int((badness > most).sum())
    return Check(name, limit, cases, names[int(badness.argmax())] if cases else "")


def _paths(warnings: list[tuple[str, str]]) -> list[str]:
    """Return each path once."""
    return list(dict.fromkeys(path for path, _ in warnings))


def _all_named(name: str, cases: list[str]) -> Check:
    """Count the cases; name more than one of them, since none is the worst."""
    named = ", ".join(cases[:_MOST_NAMED]) + (", …" if len(cases) > _MOST_NAMED else "")
    return Check(name, "", len(cases), named)


def _listed(name: str, cases: list[str]) -> Check:
    return Check(name, "", len(cases), cases[0] if cases else "")
