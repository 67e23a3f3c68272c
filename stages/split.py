"""Decode the images of data/raw/ once, and sort them into train, val and test, in data/split/."""

import time
from pathlib import Path

from classifier.core.config import load_section
from classifier.core.processes import run_program
from classifier.core.timing import write_timing
from classifier.data.dataset import load_dataset
from classifier.splitting.check_report import describe_warnings, write_integrity
from classifier.splitting.class_report import write_split_report
from classifier.splitting.duplicate_report import describe_duplicates
from classifier.splitting.split import SplitParams, split

RAW, DATA, RESULTS = Path("data/raw"), Path("data/split"), Path("results/split")


def main() -> None:
    started = time.perf_counter()
    params = load_section("split", SplitParams)
    outcome = split(RAW, DATA, params)
    dataset = load_dataset(DATA)
    write_split_report(RESULTS, dataset, outcome)
    images, classes = len(dataset.images), len(dataset.classes)
    print(f"split: {images:,} images of {classes} classes, {len(outcome.problems)} skipped")
    if outcome.dropped:
        sizes = ", ".join(f"{name} {size}" for name, size in outcome.dropped.items())
        print(f"split: dropped classes below {params.min_images_per_class} images: {sizes}")
    for line in describe_duplicates(dataset, outcome.duplicates):
        print(f"split: {line}")
    warnings = write_integrity(RESULTS, dataset, outcome, params.checks)
    write_timing("split", started)
    for line in describe_warnings(warnings, params.checks):
        print(f"split: warning: {line}")


if __name__ == "__main__":
    run_program(main)
