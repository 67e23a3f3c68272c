"""All stages where a split holds none, one or two images of a class: they leave measures out."""

import importlib
import re
from pathlib import Path

import pytest
import yaml
from builders.images import class_folders
from builders.sources import write_files

from classifier.core.config import STAGES

ROOT = Path(__file__).parents[2]
WRITTEN = ("results/report.html", "models/MODEL_CARD.md")
# Images of the classes cat, dog and eel.
SIZES: dict[str, dict[str, tuple[int, ...]]] = {
    "one test image of a class": {"train": (9, 9, 4), "val": (4, 4, 1), "test": (4, 4, 1)},
    "no test image of a class": {"train": (9, 9, 4), "val": (4, 4, 2), "test": (4, 4, 0)},
    "one class in test": {"train": (9, 9, 1), "val": (4, 4, 2), "test": (4, 0, 0)},
    "one test image": {"train": (9, 9, 1), "val": (4, 4, 2), "test": (1, 0, 0)},
    "one class in val": {"train": (9, 9, 4), "val": (2, 0, 0), "test": (4, 2, 1)},
    "one validation image": {"train": (9, 9, 4), "val": (0, 0, 1), "test": (4, 2, 1)},
    "two classes, each in one split": {"train": (9, 9), "val": (4, 0), "test": (0, 4)},
}


@pytest.mark.parametrize("case", SIZES)
def test_stages_finish_and_print_no_nan(
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for split, sizes in SIZES[case].items():
        images = class_folders(dict(zip(("cat", "dog", "eel"), sizes, strict=False)))
        write_files(tmp_path / "pets" / split, images)
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params["download"] |= {"source": "folder", "url": "pets", "watch": "pets"}
    params["split"] |= {"allow_missing_classes": True, "min_images_per_class": 3}
    params["train"]["epochs"] = 2
    params["evaluate"]["costs"] = {"reject": 0.3}
    params["export"]["int8"]["methods"] = []
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    for stage in (*STAGES, "report"):
        importlib.import_module(f"stages.{stage}").main()
    written = [Path(name).read_text("utf-8") for name in WRITTEN]
    lines = "\n".join([capsys.readouterr().out, *written]).splitlines()
    # Longer lines are embedded figures.
    assert [line for line in lines if len(line) < 5000 and re.search(r"\bnan\b", line)] == []
