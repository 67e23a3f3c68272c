"""Write the results of the split stage to results/split/, and describe them in lines."""

from pathlib import Path

import pandas as pd

from classifier.core.files import write_csv, write_json
from classifier.core.text import counted
from classifier.data.dataset import SPLITS, Dataset, Split
from classifier.splitting.class_counts import class_counts
from classifier.splitting.data_checks import Check, check_images, checks_table
from classifier.splitting.duplicates.candidate_pairs import INDEX_PAYS
from classifier.splitting.duplicates.duplicate_table import (
    describe_duplicates,
    describe_leaks,
    duplicates_table,
)
from classifier.splitting.image_measures import (
    histograms_table,
    measure_images,
    measures_table,
    modes_table,
)
from classifier.splitting.odd_images import odd_images
from classifier.splitting.params import CheckParams, SplitParams
from classifier.splitting.split import SplitResult

# Number of warnings of decoders that are printed.
_MOST_COMPLAINTS = 5


def write_results(
    folder: Path, dataset: Dataset, result: SplitResult, params: CheckParams
) -> list[Check]:
    """Write metrics.json and the tables to `folder`; return the data checks."""
    counts = class_counts(dataset)
    measures = measure_images(dataset, result.thumbnails)
    odd = odd_images(dataset, result.modes, result.thumbnails)
    checks = check_images(dataset, result, odd, params)
    warnings = sorted([*result.complaints, *odd])
    write_json(folder / "metrics.json", split_metrics(dataset, result, counts))
    for name, table in (
        ("class_counts", counts),
        ("image_warnings", pd.DataFrame(warnings, columns=["path", "warning"])),
        ("problems", pd.DataFrame(result.problems, columns=["path", "reason"])),
        ("duplicates", duplicates_table(dataset, result.duplicates)),
        ("checks", checks_table(checks)),
        ("image_measures", measures_table(measures, dataset)),
        ("image_histograms", histograms_table(measures)),
        ("image_modes", modes_table(result.modes)),
    ):
        write_csv(folder / f"{name}.csv", table)
    return checks


def split_metrics(
    dataset: Dataset, result: SplitResult, counts: pd.DataFrame
) -> dict[str, int | float]:
    """Return the counts of metrics.json.

    `leaked` counts the images of val and test that have a duplicate in train.
    """
    return {
        "classes": len(dataset.classes),
        **{split: int(counts[split].sum()) for split in SPLITS},
        "smallest_class": int(counts["total"].min()),
        "largest_class": int(counts["total"].max()),
        "skipped": len(result.problems),
        "leaked": int(sum(dataset.leaked(split).sum() for split in ("val", "test"))),
    }


def describe_split(dataset: Dataset, result: SplitResult, params: SplitParams) -> list[str]:
    """Return lines for the terminal: numbers of images, dropped classes, duplicates."""
    sizes = ", ".join(_describe_size(dataset, result, split) for split in SPLITS)
    lines = [f"{len(dataset.classes)} classes; {sizes}", *result.relabelled.lines()]
    if result.dropped:
        sizes = ", ".join(f"{name} {size}" for name, size in result.dropped.items())
        lines.append(
            f"dropped classes with fewer than {params.min_images_per_class} images: {sizes}"
        )
    if result.untrained:
        sizes = ", ".join(f"{name} {size}" for name, size in result.untrained.items())
        lines.append(f"dropped classes without training images: {sizes}")
    if lacking := dataset.missing_classes("val"):
        lines.append(f"no val images of {', '.join(lacking)}: validation does not see them")
    if lacking := dataset.missing_classes("test"):
        lines.append(f"no test images of {', '.join(lacking)}: their measures are left out")
    lines += describe_groups(dataset, result, params)
    lines += describe_duplicates(dataset, result.duplicates)
    lines += describe_search(len(result.duplicates.images), params)
    return [*lines, *describe_leaks(dataset, params.group_by), *_complaints(result)]


def describe_search(size: int, params: SplitParams) -> list[str]:
    """Return a line on the search for near-duplicates among `size` images, if it takes long."""
    is_exact = params.duplicate_similarity is not None and params.duplicate_search == "exact"
    if not is_exact or size < INDEX_PAYS:
        return []
    return [
        f"each of {size:,} images was compared with each other one, which takes long; "
        "split.duplicate_search: index compares it with similar ones alone"
    ]


def _describe_size(dataset: Dataset, result: SplitResult, split: Split) -> str:
    """Return the number of images in `split`, and where they come from if the data gives splits."""
    size = f"{split} {len(dataset.rows(split)):,}"
    if not result.given or split == "train":
        return size
    return f"{size} (given)" if split in result.given else f"{size} (drawn from train)"


def describe_groups(dataset: Dataset, result: SplitResult, params: SplitParams) -> list[str]:
    """Return lines on groups, for the terminal: how many, and how far they change the fractions."""
    lines: list[str] = []
    if params.group_by:
        groups = dataset.manifest["group"]
        joined = ", joined with duplicates" if params.duplicates == "group" else ""
        alone = counted(int((groups == 0).sum()), "image")
        lines.append(
            f"{counted(int(groups.max()), 'group')} of two or more images by "
            f"{', '.join(params.group_by)}{joined}; {alone} alone"
        )
    sizes = pd.DataFrame({split: dataset.class_counts(split) for split in SPLITS})
    wanted = pd.DataFrame(
        {
            split: [result.expected.get((name, split), 0) for name in dataset.classes]
            for split in SPLITS
        }
    )
    off = (sizes - wanted).abs().to_numpy()
    if off.any():
        label, place = divmod(int(off.argmax()), len(SPLITS))
        shares = ", ".join(
            f"{split} {sizes[split].sum() / len(dataset.images):.1%} "
            f"({wanted[split].sum() / len(dataset.images):.1%})"
            for split in SPLITS
        )
        lines.append(
            f"groups change the sizes of the splits (in brackets: without groups): {shares}; most "
            f"in {dataset.classes[label]}, {SPLITS[place]}: {sizes.iat[label, place]} images "
            f"({wanted.iat[label, place]})"
        )
    return lines


def _complaints(result: SplitResult) -> list[str]:
    """Return a line for each of the first warnings of decoders, and how many more there are."""
    lines = [f"{path}: {warning}" for path, warning in result.complaints[:_MOST_COMPLAINTS]]
    more = len(result.complaints) - len(lines)
    return [*lines, *([f"{more} more in results/split/image_warnings.csv"] if more else [])]
