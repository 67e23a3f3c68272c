"""Read the results of a run from its small files."""

import csv
import hashlib
import urllib.parse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.text import counted
from classifier.metrics.intervals import PairedGain
from classifier.processing.decision import DECISION, TTA_POLICY
from classifier.processing.made_for import check_made_for, model_digest
from classifier.processing.row_names import MEAN_OF_CLASSES
from classifier.processing.spec import WEIGHTS
from classifier.report.parts import Figure, embed_png
from classifier.report.result_files import Json, Row, read_bytes, read_json, read_rows, reading

SOURCE = Path("data/raw/source.json")
MODELS, RESULTS = Path("models"), Path("results")
EXPORT = MODELS / "export"
# Files of `models/` besides those in `models/export/`.
MODEL_FILES = (
    "model.json",
    "model.safetensors",
    "decision.json",
    "outside.safetensors",
    "tta.json",
)

# What is said of images by the origin of their split.
_ORIGINS = {"given": "given by the data", "drawn": "drawn at random"}


class FileKind(NamedTuple):
    """What became of a raw file: a status; of used files also the split and its origin."""

    status: str
    split: str
    origin: str


@dataclass(frozen=True)
class RunResults:
    """Metrics, tables and descriptions that the stages before the report have written.

    Attributes:
        source: `source.json` of the raw data.
        bundle: `model.json`.
        choice: `tta.json`, the chosen views.
        split, train, tta: `metrics.json` of the stages split, train and tta_evaluate.
        files: Number of raw files of each kind in `results/split/files.csv`.

    The others are named after their files; `tta_` marks those of the stage tta_evaluate.
    """

    source: Json
    bundle: Json
    choice: Json
    split: Json
    train: Json
    tta: Json
    files: Counter[FileKind]
    problems: list[Row]
    checks: list[Row]
    measures: list[Row]
    per_class: list[Row]
    confused_pairs: list[Row]
    slices: list[Row]
    feature_map: list[Row]
    outside: list[Row]
    prediction_sets: list[Row]
    costs: list[Row]
    views: list[Row]
    tta_per_class: list[Row]
    formats: list[Row]
    int8_attempts: list[Row]

    @property
    def left_out(self) -> Row | None:
        """Of `outside`, the mean of the classes that were left out; None where none was."""
        return next((row for row in self.outside if row["left_out"] == MEAN_OF_CLASSES), None)

    @property
    def data(self) -> str:
        """Origin of the images, without a path or a password."""
        if self.source["source"] == "digits":
            return "the 1,797 handwritten digits of scikit-learn"
        if self.source["source"] == "folder":
            return "a folder of images"
        return public_address(self.source["url"]) or ", ".join(self.source["files"])

    @property
    def chosen(self) -> str:
        """Among what training chose, and what it kept."""
        train = self.train
        if "l2" in train:  # its last solution repeats the best strength
            tried = train["epochs"] - 1
            return f"{tried} strengths of the L2 penalty were tried; {train['l2']:g} was kept"
        return f"{counted(train['epochs'], 'epoch')}; epoch {train['best_epoch']} was kept"

    @property
    def raw_files(self) -> str:
        """Name and bytes of the file that holds the images, or number and bytes of the files."""
        files: dict[str, Json] = self.source["files"]
        size = sum(file["bytes"] for file in files.values())
        named = next(iter(files)) if len(files) == 1 else counted(len(files), "file")
        return f"{named}, {size:,} bytes"

    @property
    def raw_hash(self) -> str:
        """Checksum of the file that holds the images; of several, that of their checksums."""
        checksums = [file["checksum"] for file in self.source["files"].values()]
        if len(checksums) == 1:
            return checksums[0]
        digest = hashlib.sha256("\n".join(checksums).encode()).hexdigest()
        return f"sha256:{digest} (of the SHA-256 of each file)"

    @property
    def images(self) -> int:
        """Number of images in all splits."""
        return sum(self.split[name] for name in ("train", "val", "test"))

    def size_of(self, split: str) -> str:
        """Describe the number of images in a split, and whether the data gives it."""
        return describe_size(self.split[split], split, self.files)

    @property
    def unused_files(self) -> str:
        """Number of raw files that are not used, by status: `3 hidden, 1 unreadable`."""
        counts: Counter[str] = Counter()
        for kind, count in self.files.items():
            if kind.status != "used":
                counts[kind.status] += count
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count:,} {status}" for status, count in ordered) or "none"

    @property
    def chosen_views(self) -> Row:
        """Row of `views` for the way to merge that is configured."""
        (row,) = [row for row in self.views if row["merge"] == self.choice["merge"]]
        return row

    @property
    def tta_gain(self) -> PairedGain:
        """Gain in accuracy by test-time augmentation."""
        row = self.chosen_views
        return PairedGain(
            *(float(row[name]) for name in ("gain", "low", "high", "p_value")),
            corrected=int(row["corrected"]),
            regressed=int(row["regressed"]),
        )

    def measure(self, name: str) -> Row | None:
        """Return the row of a measure: `measure, value, low, high`; None if there is none."""
        return next((row for row in self.measures if row["measure"] == name), None)


def public_address(url: str) -> str:
    """Return a web address without user, password and query; empty for a path."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def load_run() -> RunResults:
    """Read the files of a run; raise UserError if one is missing, damaged or of another model."""
    check_one_model()
    return RunResults(
        source=read_json(SOURCE),
        bundle=read_json(MODELS / "model.json"),
        choice=read_json(MODELS / "tta.json"),
        split=read_json(RESULTS / "split/metrics.json"),
        train=read_json(RESULTS / "train/metrics.json"),
        tta=read_json(RESULTS / "tta_evaluate/metrics.json"),
        files=count_files(RESULTS / "split/files.csv"),
        problems=read_rows(RESULTS / "split/problems.csv"),
        checks=read_rows(RESULTS / "split/checks.csv"),
        measures=read_rows(RESULTS / "evaluate/measures.csv"),
        per_class=read_rows(RESULTS / "evaluate/per_class.csv"),
        confused_pairs=read_rows(RESULTS / "evaluate/confused_pairs.csv"),
        slices=read_rows(RESULTS / "evaluate/slices.csv"),
        feature_map=read_rows(RESULTS / "evaluate/feature_map.csv"),
        outside=read_rows(RESULTS / "evaluate/outside.csv"),
        prediction_sets=read_rows(RESULTS / "evaluate/prediction_sets.csv"),
        costs=read_rows(RESULTS / "evaluate/costs.csv"),
        views=read_rows(RESULTS / "tta_evaluate/views.csv"),
        tta_per_class=read_rows(RESULTS / "tta_evaluate/per_class.csv"),
        formats=read_rows(RESULTS / "export/formats.csv"),
        int8_attempts=read_rows(RESULTS / "export/int8_attempts.csv"),
    )


def check_one_model() -> None:
    """Raise UserError where rules, views or export are not those of the model in models/."""
    with reading(MODELS / WEIGHTS):
        model = model_digest(MODELS)
    for path, stage in (
        (MODELS / DECISION, "evaluate"),
        (MODELS / TTA_POLICY, "tta_evaluate"),
        (EXPORT / DECISION, "export"),
        (EXPORT / TTA_POLICY, "export"),
    ):
        check_made_for(model, read_json(path).get("model"), path, stage)
    # For one model, there may be several rules and views.
    for name in (DECISION, TTA_POLICY):
        if read_bytes(EXPORT / name) != read_bytes(MODELS / name):
            raise UserError(
                f"{EXPORT.as_posix()} was made from another {name} than "
                f"{(MODELS / name).as_posix()}: run the export stage (`dvc repro`), or "
                "`dvc checkout`."
            )


def model_files() -> list[Path]:
    """Return the files of `models/` that this pipeline wrote, without the model card.

    Raises UserError if one is missing.
    """
    files = [MODELS / name for name in MODEL_FILES]
    for path in files:
        with reading(path):
            path.stat()
    return files + sorted(path for path in EXPORT.iterdir() if path.is_file())


def embedded_figure(result: str, alt: str, caption: str = "") -> Figure:
    """Return an image below results/ as a part of the page."""
    return embed_png(read_bytes(RESULTS / result), alt, caption)


def describe_size(images: int, split: str, files: Counter[FileKind]) -> str:
    """Return such as `90 images, 70 given by the data, 20 drawn at random`; see `files_account`."""
    sizes = {origin: files[FileKind("used", split, origin)] for origin in _ORIGINS}
    if all(sizes.values()):
        parts = [f"{size:,} {_ORIGINS[origin]}" for origin, size in sizes.items()]
    else:
        parts = [_ORIGINS[origin] for origin, size in sizes.items() if size]
    others_drawn = any(kind.origin == "drawn" and kind.split != split for kind in files)
    if split == "train" and sizes["given"] and others_drawn:
        parts.append("without what was drawn from it")
    return ", ".join([counted(images, "image"), *parts])


def count_files(path: Path) -> Counter[FileKind]:
    """Count the files in results/split/files.csv, row by row: there may be a million."""
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return Counter(FileKind(row["status"], row["split"], row["origin"]) for row in rows)
