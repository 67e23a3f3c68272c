"""Compare the predictions of two runs on the images that both have tested."""

from pathlib import Path

import pandas as pd

from classifier.core.errors import UserError
from classifier.core.text import counted
from classifier.metrics.intervals import paired_gain

_COLUMNS = ["path", "actual", "predicted"]
# Optional: digest of the file, see `answer_report.predictions_table`.
_CONTENT = "content"


def compare(before: Path, after: Path) -> str:
    """Compare two predictions.csv files in one sentence, with McNemar's exact test.

    Images are the same if their content is; if one of the files has no column `content`, if their
    path is. Images whose label differs between the two are left out and counted.

    Raises:
        UserError: A file is none, or no image is in both with the same label.
    """
    old, new = _read(before), _read(after)
    by_content = _CONTENT in old and _CONTENT in new
    old, new = (_by_image(table, _CONTENT if by_content else "path") for table in (old, new))
    common = old.index.intersection(new.index)
    was_labelled, is_labelled = old.loc[common, "actual"], new.loc[common, "actual"]
    same = common[(was_labelled == is_labelled).to_numpy()]
    if same.empty:
        relabelled = f", and the labels of all {len(common)} common ones differ" * bool(len(common))
        raise UserError(
            f"{before} ({len(old)} test images) and {after} ({len(new)}) have no image in "
            f"common{relabelled}: compare runs on the same data."
        )
    was, now = (
        (table.loc[same, "predicted"] == is_labelled[same]).to_numpy() for table in (old, new)
    )
    gain = paired_gain(was, now)
    verdict = "distinguishable" if gain.is_certain else "not distinguishable"
    return (
        f"accuracy from {was.mean():.4f} to {now.mean():.4f} on "
        f"{_describe(len(same), len(old), len(new), len(common) - len(same))} (corrected: "
        f"{gain.corrected}, regressed: {gain.regressed}); the gain, {gain}, is {verdict} from zero."
    )


def _describe(same: int, old: int, new: int, relabelled: int) -> str:
    """Describe the images that are compared: all of both runs, or which part of them."""
    if same == old == new:
        return counted(same, "image")
    left_out = f", without {relabelled} whose label differs" if relabelled else ""
    return f"the {same} images that both tested, of {old} and {new}{left_out}"


def _by_image(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return `table` by image: its key, and a number for images with the same key."""
    ordered = table.sort_values("path")
    return ordered.set_index([ordered[key], ordered.groupby(key).cumcount()])


def _read(path: Path) -> pd.DataFrame:
    """Read `path, actual, predicted` and, if it is there, `content`."""
    try:
        # Class names such as `NA` or `007` are text.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = table[[*_COLUMNS, *(name for name in table if name == _CONTENT)]]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the evaluate stage, or name another.") from None
    except (KeyError, ValueError, UnicodeDecodeError):
        columns = ", ".join(_COLUMNS)
        raise UserError(f"{path} is no predictions.csv with the columns {columns}.") from None
    if table.empty or table["path"].duplicated().any():
        raise UserError(f"{path} names no images, or an image twice; it is no predictions.csv.")
    return table
