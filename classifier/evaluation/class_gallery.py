"""Program: the test images of a class with what the model says of each, and why; mistakes first.

`classifier gallery CLASS` writes `results/gallery.png`.
"""

from pathlib import Path

import numpy as np

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.evaluation.galleries import sheet
from classifier.models.devices import choose_device, make_deterministic
from classifier.models.prediction import load_trained, predict_logits
from classifier.plotting.figures import write_png
from classifier.processing.softmax import probabilities
from classifier.processing.views import named_view

DATA, MODELS, SHEET = Path("data/split"), Path("models"), Path("results/gallery.png")
_MOST = 60
_BATCH = 32


def main(name: str) -> None:
    make_deterministic()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    spec, rows = bundle.spec, chosen_rows(dataset, name)
    centre = named_view("identity", spec.stored_size, spec.input_size)
    (logits,) = predict_logits(bundle.model, dataset.images, rows, [centre], batch_size=_BATCH)
    answers = Answers(dataset, rows, probabilities(logits, spec.temperature))
    # Mistakes first, the surest before the others; then hits, the least sure before the others.
    order = np.argsort(np.where(answers.right, 2 + answers.confidence, 1 - answers.confidence))
    write_png(sheet(answers, order[:_MOST], bundle, "no test image"), SHEET)
    print(f"{int(answers.right.sum())} of {len(rows)} right; {SHEET.as_posix()}")


def chosen_rows(dataset: Dataset, name: str) -> np.ndarray:
    """Test images of the one class that is named: int64 `(n,)`; raises UserError for others."""
    if name not in dataset.classes:
        raise UserError(f"name one class; they are {', '.join(dataset.classes)}.")
    rows = dataset.rows("test")
    rows = rows[dataset.labels[rows] == dataset.classes.index(name)]
    if len(rows) == 0:
        raise UserError(f"{name!r} has no test images.")
    return rows
