"""Label errors: images whose class is probably wrong, for a person to look at.

A logistic regression on the features of the trained backbone gives the class probabilities of each
image of all three splits, in cross-validation; duplicates are never on both sides. Confident
learning (Northcutt et al., arXiv 1911.00068) judges them. The features of a frozen backbone have
seen no label; those of a network that was trained here have seen the labels of its training images,
so that fewer of these are found.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.models.bundle import Bundle
from classifier.models.extractor import FeatureExtractor
from classifier.plotting.agg import Figure
from classifier.plotting.figures import image_sheet, new_figure
from classifier.plotting.fonts import drawable_names
from classifier.plotting.short_names import short_names
from classifier.processing.views import CENTRE, named_view

FOLDS = 5
SHOWN = 30
_COLUMNS = 6
# Weak: features are many, images few.
_REGULARISATION = 0.01


def find_label_errors(bundle: Bundle, dataset: Dataset) -> pd.DataFrame:
    """Return a row for each image of any split whose label is in doubt; see `label_errors_table`.

    Raises:
        UserError: where a class has too few images for cross-validation.
    """
    features = label_features(bundle, dataset)
    return label_errors_table(dataset, held_out_probabilities(features, dataset))


def label_features(bundle: Bundle, dataset: Dataset) -> np.ndarray:
    """Return the features of the centre of every image: float32 `(N, features)`."""
    centre = named_view(CENTRE, bundle.spec.stored_size, bundle.spec.input_size)
    rows = np.arange(len(dataset.images))
    (features,) = FeatureExtractor(bundle.model).features(dataset.images, rows, [centre])
    return features


def held_out_probabilities(features: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return class probabilities by models that did not see the image: float64 `(N, classes)`.

    Args:
        features: of every image, `(N, features)`.
        dataset: the data set.

    Raises:
        UserError: where a class has fewer images than there are folds.
    """
    labels, groups = dataset.labels, dataset.manifest["group"].to_numpy(np.int64)
    smallest = int(np.bincount(labels).min())
    if smallest < FOLDS:
        name = dataset.classes[int(np.bincount(labels).argmin())]
        raise UserError(
            f"class {name} has {smallest} images, {FOLDS} are needed: raise "
            "split.min_images_per_class."
        )
    # An image without a group is a group of its own.
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


def rank_label_errors(given: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows where another class is the most probable, and which are probably wrong.

    They are sorted by the normalised margin (arXiv 1911.00068): how much more probable the other
    class is than the label. A label is probably wrong if the other class is at least as probable as
    it is on average for the images with its label (equations 1 and 2 there).

    Args:
        given: held-out probabilities `(N, classes)`.
        labels: int `(N,)`.

    Returns:
        Rows, int64 `(m,)`, and whether each label is probably wrong, bool `(m,)`.
    """
    everyone = np.arange(len(labels))
    usual = np.array([given[labels == label, label].mean() for label in range(given.shape[1])])
    suggested = given.argmax(axis=1)
    margin = given[everyone, labels] - given[everyone, suggested]
    rows = np.flatnonzero(suggested != labels)
    rows = rows[np.argsort(margin[rows], kind="stable")]
    return rows, given[rows, suggested[rows]] >= usual[suggested[rows]]


def label_errors_table(dataset: Dataset, given: np.ndarray) -> pd.DataFrame:
    """Return a row for each label in doubt, the largest margin first.

    Columns `path, split, class, confidence, suggested, suggested_confidence, likely_error`;
    `likely_error` means that the label is probably wrong, see `rank_label_errors`.
    """
    rows, likely = rank_label_errors(given, dataset.labels)
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
            "likely_error": likely,
        }
    )


def draw_label_errors(dataset: Dataset, table: pd.DataFrame) -> Figure:
    """Draw the first SHOWN images, each under its number, its class and the suggested one."""
    if table.empty:
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, "no label is in doubt", ha="center", va="center")
        return figure
    shown = table.head(SHOWN)
    places = pd.Index(dataset.manifest["path"]).get_indexer(pd.Index(shown["path"]))
    short = short_names(drawable_names(dataset.classes), 7)
    names = dict(zip(dataset.classes, short, strict=True))
    captions = [
        f"{number}: {names[actual]} → {names[suggested]}"
        for number, (actual, suggested) in enumerate(
            zip(shown["class"], shown["suggested"], strict=True), 1
        )
    ]
    images = [dataset.images[place] for place in places]
    return image_sheet(images, captions, _COLUMNS, files=shown["path"].tolist())
