"""Program: the images whose class is probably wrong, for a person to look at.

`classifier label-errors` writes `results/label_errors.csv` and
`results/label_errors.png`.

A logistic regression on the features of the trained model's backbone says of every image, in all
three splits, how probable each class is, having learnt from other images only; duplicates are
never on both sides. What it says is judged by confident learning (Northcutt et al., arXiv
1911.00068). Features of a frozen backbone have seen no label; those of a network that was trained
here have seen its training images' labels, so that fewer of these come into doubt.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classifier.core.errors import UserError
from classifier.core.files import write_csv
from classifier.data.dataset import Dataset
from classifier.models.devices import choose_device, make_deterministic
from classifier.models.extractor import FeatureExtractor
from classifier.models.prediction import load_trained
from classifier.plotting.figures import image_sheet, new_figure, shorten, write_png
from classifier.processing.views import named_view

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results")
FOLDS = 5
SHOWN = 30
_COLUMNS = 6
# Weak: features are many, images few.
_REGULARISATION = 0.01


def main() -> None:
    make_deterministic()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    centre = named_view("identity", bundle.spec.stored_size, bundle.spec.input_size)
    rows = np.arange(len(dataset.images))
    (features,) = FeatureExtractor(bundle.model).features(dataset.images, rows, [centre])
    given = held_out_probabilities(features, dataset)
    table = doubts_table(dataset, given)
    write_csv(RESULTS / "label_errors.csv", table)
    write_png(draw_doubts(dataset, table), RESULTS / "label_errors.png")
    print(
        f"of {len(dataset.images)} labels, {len(table)} are in doubt, and {table['sure'].sum()} of "
        "them probably wrong: results/label_errors.csv, the first in results/label_errors.png"
    )


def held_out_probabilities(features: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Probabilities of the classes by models that did not see the image: float64 `(N, classes)`.

    features: `(N, features)`. Raises UserError where a class is too small to be held out.
    """
    labels, groups = dataset.labels, dataset.manifest["group"].to_numpy(np.int64)
    smallest = int(np.bincount(labels).min())
    if smallest < FOLDS:
        name = dataset.classes[int(np.bincount(labels).argmin())]
        raise UserError(
            f"class {name} has {smallest} images, {FOLDS} are needed: raise "
            "split.min_images_per_class."
        )
    # Whoever is in no group is one by himself.
    alone = np.arange(len(labels)) + groups.max() + 1
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    given = np.zeros((len(labels), len(dataset.classes)))
    for others, held_out in folds.split(features, labels, np.where(groups > 0, groups, alone)):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=_REGULARISATION, max_iter=1000)
        )
        model.fit(features[others], labels[others])
        known = model.classes_
        given[np.ix_(held_out, known)] = model.predict_proba(features[held_out])
    return given


def find_doubts(given: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows where another class is the most probable, the most doubtful first, and which are sure.

    given: held-out probabilities `(N, classes)`. labels: int `(N,)`. Results: int64, bool `(m,)`.
    The doubt is how much more probable the other class is than the label (the normalised margin of
    arXiv 1911.00068). It is sure where the other class is at least as probable as it is on average
    for the images that carry its label (equations 1 and 2 there).
    """
    everyone = np.arange(len(labels))
    usual = np.array([given[labels == label, label].mean() for label in range(given.shape[1])])
    suggested = given.argmax(axis=1)
    margin = given[everyone, labels] - given[everyone, suggested]
    rows = np.flatnonzero(suggested != labels)
    rows = rows[np.argsort(margin[rows], kind="stable")]
    return rows, given[rows, suggested[rows]] >= usual[suggested[rows]]


def doubts_table(dataset: Dataset, given: np.ndarray) -> pd.DataFrame:
    """A row for each doubtful label, the most doubtful first.

    Columns `path, split, class, confidence, suggested, suggested_confidence, sure`.
    """
    rows, sure = find_doubts(given, dataset.labels)
    suggested = given[rows].argmax(axis=1)
    names = np.array(dataset.classes, dtype=object)
    manifest = dataset.manifest.iloc[rows]
    return pd.DataFrame(
        {
            "path": manifest["path"].to_numpy(),
            "split": manifest["split"].to_numpy(),
            "class": names[dataset.labels[rows]],
            "confidence": given[rows, dataset.labels[rows]].round(4),
            "suggested": names[suggested],
            "suggested_confidence": given[rows, suggested].round(4),
            "sure": sure,
        }
    )


def draw_doubts(dataset: Dataset, table: pd.DataFrame) -> Figure:
    """The first SHOWN images, each under its number, its class and the one that is suggested."""
    if table.empty:
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, "no label is in doubt", ha="center", va="center")
        return figure
    shown = table.head(SHOWN)
    places = pd.Index(dataset.manifest["path"]).get_indexer(pd.Index(shown["path"]))
    captions = [
        f"{number}: {shorten(actual, 8)} → {shorten(suggested, 8)}"
        for number, (actual, suggested) in enumerate(
            zip(shown["class"], shown["suggested"], strict=True), 1
        )
    ]
    return image_sheet([dataset.images[place] for place in places], captions, _COLUMNS)
