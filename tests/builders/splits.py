"""Section `split` for small data, and splitting an archive of a few members."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders.images import class_folders, write_raw
from classifier.core.config import read_params, validate_section
from classifier.data.dataset import Dataset, load_dataset
from classifier.sources import tables
from classifier.splitting.params import SplitParams
from classifier.splitting.split import split

_SECTION = read_params(Path(__file__).parents[2] / "params.yaml")["split"]

PETS = class_folders({"black cat": 12, "dog": 20, "Zürich, eel": 10}, prefix="pets/")

LIMITS: dict[str, Any] = {
    "min_side": 20,
    "max_side": 500,
    "max_aspect_ratio": 4.0,
    "min_contrast": 3.0,
    "min_test_images": 2,
    "max_imbalance": 3.0,
    "on_warning": "warn",
}


# What differs from params.yaml for small images that differ.
_SMALL: dict[str, Any] = {
    "duplicate_similarity": 0.75,
    "checks": {
        "min_side": 4,
        "max_side": 100,
        "max_aspect_ratio": 4.0,
        "min_contrast": 3.0,
        "min_test_images": 1,
        "max_imbalance": 10.0,
        "on_warning": "warn",
    },
}


def split_section(**changes: Any) -> dict[str, Any]:
    """Section `split` of params.yaml for small data, with these changes."""
    return _SECTION | _SMALL | changes


def split_params(**changes: Any) -> SplitParams:
    section = {"split": split_section(**changes)}
    return validate_section("split", SplitParams, section, Path("params.yaml"))


def split_up(folder: Path, members: dict[str, bytes], **changes: Any) -> Dataset:
    """Split an archive of these members, and open the result."""
    split(write_raw(folder / "raw", members), folder / "split", split_params(**changes))
    return load_dataset(folder / "split")


def add_column(raw: Path, name: str, value_of: Callable[[str], str]) -> None:
    """Add a further column to labels.csv, its value a function of the path."""
    columns = tables.read_columns(raw / tables.LABELS)
    images = [
        image._replace(columns=(*image.columns, value_of(image.path)))
        for image in tables.read_labels(raw / tables.LABELS)
    ]
    tables.write_labels(raw / tables.LABELS, images, [*columns, name])
