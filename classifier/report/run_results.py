"""What a run of the pipeline left in its small files, for those that tell of it as a whole."""

import csv
import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from classifier.core.errors import UserError
from classifier.metrics.intervals import PairedGain

SOURCE = Path("data/raw/source.json")
MODELS, RESULTS = Path("models"), Path("results")
# Of `models/`, beside all that is in `models/export/`.
MODEL_FILES = ("model.json", "model.safetensors", "decision.json", "tta.json")

Json = dict[str, Any]
# Cells by the table's headings.
Row = dict[str, str]


@dataclass(frozen=True)
class RunResults:
    """One run of all stages but the last: `metrics.json` and tables of each, and descriptions.

    source: of the raw data. bundle: `model.json`. choice: `tta.json`. The others have the names of
    their files; those that two stages write begin with the stage's.
    """

    source: Json
    bundle: Json
    choice: Json
    split: Json
    train: Json
    tta: Json
    problems: list[Row]
    checks: list[Row]
    measures: list[Row]
    per_class: list[Row]
    confused_pairs: list[Row]
    views: list[Row]
    tta_per_class: list[Row]
    formats: list[Row]
    int8_attempts: list[Row]

    @property
    def data(self) -> str:
        """What the images came from, without a path or a password."""
        if self.source["source"] == "digits":
            return "the 1,797 handwritten digits of scikit-learn"
        return public_address(self.source["url"]) or str(self.source["file"])

    @property
    def images(self) -> int:
        """In all splits."""
        return sum(self.split[name] for name in ("train", "val", "test"))

    @property
    def chosen_views(self) -> Row:
        """The row of `views` that is the result: the last set, merged as configured."""
        last = self.views[-1]["set"]
        (row,) = [
            row for row in self.views if (row["set"], row["merge"]) == (last, self.choice["merge"])
        ]
        return row

    @property
    def tta_gain(self) -> PairedGain:
        row = self.chosen_views
        return PairedGain(
            *(float(row[name]) for name in ("gain", "low", "high", "p_value")),
            corrected=int(row["corrected"]),
            regressed=int(row["regressed"]),
        )

    def measure(self, name: str) -> Row | None:
        """The row of `measures`: `measure, value, low, high`; None where there is none."""
        return next((row for row in self.measures if row["measure"] == name), None)


def public_address(url: str) -> str:
    """A web address without user, password and query; empty for a path, which is of one machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def load_run() -> RunResults:
    """Read the files; raises UserError where one is missing."""
    return RunResults(
        source=read_json(SOURCE),
        bundle=read_json(MODELS / "model.json"),
        choice=read_json(MODELS / "tta.json"),
        split=read_json(RESULTS / "split/metrics.json"),
        train=read_json(RESULTS / "train/metrics.json"),
        tta=read_json(RESULTS / "tta_evaluate/metrics.json"),
        problems=read_rows(RESULTS / "split/problems.csv"),
        checks=read_rows(RESULTS / "split/checks.csv"),
        measures=read_rows(RESULTS / "evaluate/measures.csv"),
        per_class=read_rows(RESULTS / "evaluate/per_class.csv"),
        confused_pairs=read_rows(RESULTS / "evaluate/confused_pairs.csv"),
        views=read_rows(RESULTS / "tta_evaluate/views.csv"),
        tta_per_class=read_rows(RESULTS / "tta_evaluate/per_class.csv"),
        formats=read_rows(RESULTS / "export/formats.csv"),
        int8_attempts=read_rows(RESULTS / "export/int8_attempts.csv"),
    )


def model_files() -> list[Path]:
    """The files of `models/` that this pipeline wrote, without the model card."""
    exported = (path for path in (MODELS / "export").iterdir() if path.is_file())
    return [*(MODELS / name for name in MODEL_FILES), *sorted(exported)]


def file_of(result: str) -> Path:
    """Return the path of a file below results/; raise UserError where it is missing."""
    path = RESULTS / result
    if not path.exists():
        raise _missing(path)
    return path


def read_json(path: Path) -> Json:
    return json.loads(read_bytes(path))


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file, all cells as text: a class may be called `NA` or `007`."""
    return list(csv.DictReader(read_bytes(path).decode().splitlines(keepends=True)))


def read_bytes(path: Path) -> bytes:
    """The file's content; raises UserError where it is missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None


def _missing(path: Path) -> UserError:
    return UserError(
        f"{PurePosixPath(path)} is missing: `dvc repro` runs the stage that writes it."
    )
