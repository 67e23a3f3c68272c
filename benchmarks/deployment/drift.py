"""Measure `classifier drift` on samples with and without drift.

python benchmarks/deployment/drift.py PROJECT

PROJECT is a folder in which the pipeline has run. A random half of its test images is the
reference; the answers are drawn from the other half without replacement, and made to drift. A row
says in what share of 200 draws each test found a change, and how far the corrected shares of the
classes are from the true ones (total variation distance), beside the shares of the predictions.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

sys.path[0] = str(Path(__file__).parents[2])

from classifier.data.dataset import load_dataset  # noqa: E402
from classifier.inference.measures import brightness  # noqa: E402
from classifier.inference.predict import Model, load_model  # noqa: E402
from classifier.metrics.confusion import confusion_counts  # noqa: E402
from classifier.monitoring.drift import measure_drift  # noqa: E402
from classifier.monitoring.recorded import ReferenceValues, Values  # noqa: E402

DRAWS = 200
SIZES = (50, 100)
Edit = Callable[[np.ndarray], np.ndarray]


def darker(factor: float) -> Edit:
    return lambda images: (images * factor).astype(np.uint8)


def blurred(radius: float) -> Edit:
    kernel = ImageFilter.GaussianBlur(radius)
    return lambda images: np.stack(
        [np.asarray(Image.fromarray(image).filter(kernel)) for image in images]
    )


def unchanged(images: np.ndarray) -> np.ndarray:
    return images


def measured(model: Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Each measure, and the class, of every image."""
    answers = [
        answer for at in range(0, len(images), 16) for answer in model.answers(images[at : at + 16])
    ]
    return {
        "confidence": np.array([answer.probabilities.max() for answer in answers]),
        "outside": np.array([answer.outside or 0.0 for answer in answers]),
        "brightness": brightness(images),
        "class": np.array([answer.probabilities.argmax() for answer in answers]),
    }


def values(all_values: dict[str, np.ndarray], rows: np.ndarray, classes: int) -> Values:
    measures = {name: part[rows] for name, part in all_values.items() if name != "class"}
    return Values(measures, np.bincount(all_values["class"][rows], minlength=classes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    project = parser.parse_args().project
    model = load_model(project / "models")
    dataset = load_dataset(project / "data/split")
    images, labels = dataset.images[rows := dataset.rows("test")], dataset.labels[rows]
    classes = len(model.spec.classes)
    edits = {
        "none": unchanged,
        "10% darker": darker(0.9),
        "30% darker": darker(0.7),
        "blurred, radius 1/30 of the side": blurred(images.shape[1] / 30),
        "blurred, radius 1/10 of the side": blurred(images.shape[1] / 10),
    }
    drifted = {name: measured(model, edit(images)) for name, edit in edits.items()}
    drifted["half of the classes five times as often"] = drifted["none"]
    columns = ["confidence", "outside", "brightness", "classes", "any"]
    print(f"| drift | answers | {' | '.join(columns)} | corrected shares | predicted shares |")
    print(f"| --- | --- |{' --- |' * (len(columns) + 2)}")
    draws = np.random.default_rng(0)
    for name, given in drifted.items():
        for size in SIZES:
            found, errors = dict.fromkeys(columns, 0), []
            for _ in range(DRAWS):
                order = draws.permutation(len(labels))
                before, after = order[: len(order) // 2], order[len(order) // 2 :]
                weights = np.ones(len(after))
                if name.startswith("half"):
                    weights = np.where(labels[after] < classes / 2, 5.0, 1.0)
                rows = draws.choice(after, size, replace=False, p=weights / weights.sum())
                confusion = confusion_counts(
                    drifted["none"]["class"][before], labels[before], classes
                )
                reference = ReferenceValues(
                    model.spec.classes,
                    confusion,
                    values(drifted["none"], before, classes),
                    frozenset(),
                )
                drift = measure_drift(reference, values(given, rows, classes))
                changed = {change.name for change in drift.changes if change.found}
                for column in changed | ({"any"} if changed else set()):
                    found[column] += 1
                true = np.bincount(labels[rows], minlength=classes) / size
                told = np.bincount(given["class"][rows], minlength=classes) / size
                errors.append(
                    [np.abs(one - true).sum() / 2 for one in (drift.shares.estimate, told)]
                )
            counts = " | ".join(f"{found[column] / DRAWS:.1%}" for column in columns)
            corrected, predicted = np.mean(errors, axis=0)
            print(f"| {name} | {size} | {counts} | {corrected:.3f} | {predicted:.3f} |", flush=True)


if __name__ == "__main__":
    main()
