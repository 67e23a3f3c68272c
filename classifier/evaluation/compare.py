"""Compare the predictions of two runs on the same images."""

from pathlib import Path

import pandas as pd

from classifier.core.errors import UserError
from classifier.metrics.intervals import paired_gain

_COLUMNS = ["path", "actual", "predicted"]


def compare(before: Path, after: Path) -> str:
    """Compare two predictions.csv files in one sentence, with McNemar's exact test.

    Raises:
        UserError: where a file is none, or the two are of different images.
    """
    old, new = _read(before), _read(after)
    if len(old) != len(new) or not old.index.equals(new.index):
        common = len(old.index.intersection(new.index))
        raise UserError(
            f"{before} and {after} are of different test images ({len(old)} and {len(new)}, "
            f"{common} in common): compare runs of the same split."
        )
    if not old["actual"].equals(new["actual"]):
        raise UserError(f"{before} and {after} differ in the actual classes: compare equal splits.")
    was, now = ((table["predicted"] == table["actual"]).to_numpy() for table in (old, new))
    gain = paired_gain(was, now)
    verdict = "distinguishable" if gain.is_certain else "not distinguishable"
    return (
        f"accuracy from {was.mean():.4f} to {now.mean():.4f} on {len(was)} images (corrected: "
        f"{gain.corrected}, regressed: {gain.regressed}); the gain, {gain}, is {verdict} from zero."
    )


def _read(path: Path) -> pd.DataFrame:
    """Read `actual` and `predicted` by path, in the order of paths."""
    try:
        # Class names such as `NA` or `007` are text.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=_COLUMNS)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the evaluate stage, or name another.") from None
    except (ValueError, UnicodeDecodeError):
        columns = ", ".join(_COLUMNS)
        raise UserError(f"{path} is no predictions.csv with the columns {columns}.") from None
    if table.empty or table["path"].duplicated().any():
        raise UserError(f"{path} names no images, or an image twice; it is no predictions.csv.")
    return table.set_index("path").sort_index()
