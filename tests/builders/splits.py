"""Section `split` for small data, and splitting an archive of a few members."""

from pathlib import Path
from typing import Any

from builders.images import write_raw
from classifier.core.config import validate_section
from classifier.data.dataset import Dataset, load_dataset
from classifier.splitting.params import SplitParams
from classifier.splitting.split import split

LIMITS: dict[str, Any] = {
    "min_side": 20,
    "max_side": 500,
    "max_aspect_ratio": 4.0,
    "min_contrast": 3.0,
    "min_test_images": 2,
    "max_imbalance": 3.0,
    "on_warning": "warn",
}


def split_section(**changes: Any) -> dict[str, Any]:
    return {
        "seed": 0,
        "fractions": {"train": 0.7, "val": 0.1, "test": 0.2},
        "stored_size": 8,
        "resize": "crop",
        "min_images_per_class": 3,
        "exclude_classes": [],
        "on_bad_image": "error",
        "duplicates": "group",
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
    } | changes


def split_params(**changes: Any) -> SplitParams:
    section = {"split": split_section(**changes)}
    return validate_section("split", SplitParams, section, Path("params.yaml"))


def split_up(folder: Path, members: dict[str, bytes], **changes: Any) -> Dataset:
    """Split an archive of these members, and open the result."""
    split(write_raw(folder / "raw", members), folder / "split", split_params(**changes))
    return load_dataset(folder / "split")
