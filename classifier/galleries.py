"""Sheets of pictures with what the model says about them, to see why it errs."""

import numpy as np
from matplotlib.figure import Figure

from classifier.charts import new_figure, picture_sheet, shorten
from classifier.evaluation import Answers
from classifier.images import center_crop

PICTURES = 24
_COLUMNS = 6


def confident_mistakes(answers: Answers, crop: int) -> Figure:
    """The wrong answers of which the model is the surest: often labels that are wrong, or doubtful.

    crop: the side that the model sees.
    """
    wrong = np.flatnonzero(~answers.right)
    order = np.argsort(-answers.confidence[wrong], kind="stable")
    return sheet(answers, wrong[order][:PICTURES], crop, "no mistake")


def doubtful_hits(answers: Answers, crop: int) -> Figure:
    """The right answers of which the model is the least sure."""
    right = np.flatnonzero(answers.right)
    order = np.argsort(answers.confidence[right], kind="stable")
    return sheet(answers, right[order][:PICTURES], crop, "no right answer")


def sheet(answers: Answers, places: np.ndarray, crop: int, otherwise: str) -> Figure:
    """The pictures of these answers, each under its class, the predicted one if another, and how
    sure the model is; without pictures a line that says `otherwise`.

    places: int `(m,)`, indices into the answers.
    """
    if len(places) == 0:
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, otherwise, ha="center", va="center")
        return figure
    pictures = [center_crop(answers.dataset.images[answers.rows[place]], crop) for place in places]
    return picture_sheet(pictures, [_caption(answers, place) for place in places], _COLUMNS)


def _caption(answers: Answers, place: int) -> str:
    classes, sure = answers.dataset.classes, f"{answers.confidence[place]:.0%}"
    if answers.right[place]:
        return f"{shorten(classes[answers.labels[place]], 16)} {sure}"
    actual, predicted = (classes[of[place]] for of in (answers.labels, answers.predicted))
    return f"{shorten(actual, 7)} → {shorten(predicted, 7)} {sure}"
