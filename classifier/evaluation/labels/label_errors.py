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
        UserError: where no two classes have enough images for cross-validation.
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

    A class that is not in `judged_classes` takes no part: its column is zero.

    Args:
        features: of every image, `(N, features)`.
        dataset: the data set.

    Raises:
        UserError: where fewer than two classes can be judged.
    """
    judged = judged_classes(dataset)
    if judged.sum() < 2:
        raise UserError(
            f"fewer than two classes have {FOLDS} images that are no duplicates of each other: add "
            "images, or raise split.min_images_per_class."
        )
    labels, groups = dataset.labels, _groups(dataset)
    taking_part = np.flatnonzero(judged[labels])
    given = np.zeros((len(labels), len(dataset.classes)))

    def fill(others: np.ndarray, held_out: np.ndarray) -> None:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=_REGULARISATION, max_iter=1000)
        )
        model.fit(features[others], labels[others])
        given[np.ix_(held_out, model.classes_)] = model.predict_proba(features[held_out])

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for others, held_out in folds.split(taking_part, labels[taking_part], groups[taking_part]):
        fill(taking_part[others], taking_part[held_out])
    left_over = np.flatnonzero(~judged[labels])
    if len(left_over):
        fill(taking_part, left_over)
    return given


def judged_classes(dataset: Dataset) -> np.ndarray:
    """Return which classes have images enough for cross-validation: bool `(classes,)`.

    Duplicates, which are held out together, count as one image.
    """
    pairs = np.unique(np.stack([dataset.labels, _groups(dataset)]), axis=1)
    return np.bincount(pairs[0], minlength=len(dataset.classes)) >= FOLDS


def describe_unjudged(dataset: Dataset) -> str | None:
    """Return a line that names the classes whose labels are not judged; None where all are."""
    unjudged = [dataset.classes[label] for label in np.flatnonzero(~judged_classes(dataset))]
    if not unjudged:
        return None
    return (
        f"not judged, with fewer than {FOLDS} images that are no duplicates of each other: "
        f"{', '.join(unjudged)}"
    )


def _groups(dataset: Dataset) -> np.ndarray:
    """Return the group of duplicates of each image: int64 `(N,)`; one without is its own."""
    groups = dataset.manifest["group"].to_numpy(np.int64)
    return np.where(groups > 0, groups, np.arange(len(groups)) + groups.max() + 1)


def rank_label_errors(given: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows where another class is the most probable, and which are probably wrong.

    They are sorted by the normalised margin (arXiv 1911.00068): how much more probable the other
    class is than the label. A label is probably wrong if the other class is at least as probable as
    it is on average for the images with its label (equations 1 and 2 there). A label whose column
    is zero is not judged.

    Args:
        given: held-out probabilities `(N, classes)`.
        labels: int `(N,)`.

    Returns:
        Rows, int64 `(m,)`, and whether each label is probably wrong, bool `(m,)`.
    """
    everyone = np.arange(len(labels))
    judged = given.max(axis=0) > 0
    usual = {label: given[labels == label, label].mean() for label in np.flatnonzero(judged)}
    suggested = given.argmax(axis=1)
    margin = given[everyone, labels] - given[everyone, suggested]
    rows = np.flatnonzero((suggested != labels) & judged[labels])
    rows = rows[np.argsort(margin[rows], kind="stable")]
    likely = [given[row, suggested[row]] >= usual[suggested[row]] for row in rows]
    return rows, np.array(likely, bool)


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
    short = short_names(drawable_names(dataset.classes), 11)
    names = dict(zip(dataset.classes, short, strict=True))
    captions = [
        f"{number}: {names[actual]} → {names[suggested]}"
        for number, (actual, suggested) in enumerate(
            zip(shown["class"], shown["suggested"], strict=True), 1
        )
    ]
    images = [dataset.images[place] for place in places]
    return image_sheet(images, captions, _COLUMNS, files=shown["path"].tolist())
