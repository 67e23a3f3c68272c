"""Sheets of images with what the model says about them and where it looks, to see why it errs."""

import numpy as np
from matplotlib.figure import Figure

from classifier.evaluation.answers import Answers
from classifier.evaluation.grad_cam import NO_PLACES, heat_maps
from classifier.inference.occlusion import blend
from classifier.models.bundle import Bundle
from classifier.plotting.figures import image_sheet, new_figure, shorten
from classifier.processing.images import center_crop

IMAGES = 12
_COLUMNS = 6


def confident_mistakes(answers: Answers, bundle: Bundle) -> Figure:
    """The wrong answers of which the model is the surest: often labels that are wrong, or doubtful.

    See `sheet`.
    """
    wrong = np.flatnonzero(~answers.right)
    order = np.argsort(-answers.confidence[wrong], kind="stable")
    return sheet(answers, wrong[order][:IMAGES], bundle, "no mistake")


def doubtful_hits(answers: Answers, bundle: Bundle) -> Figure:
    """The right answers of which the model is the least sure; see `sheet`."""
    right = np.flatnonzero(answers.right)
    order = np.argsort(answers.confidence[right], kind="stable")
    return sheet(answers, right[order][:IMAGES], bundle, "no right answer")


def sheet(answers: Answers, places: np.ndarray, bundle: Bundle, otherwise: str) -> Figure:
    """The images of these answers, each under its class, the predicted one if another, and how
    sure the model is; beside each what speaks for the predicted class, where the network can tell.

    places: int `(m,)`, indices into the answers. bundle: the model that gave them. otherwise: a
    line that stands there without images.
    """
    if len(places) == 0:
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, otherwise, ha="center", va="center")
        return figure
    images, rows = answers.dataset.images, answers.rows[places]
    shown = np.ascontiguousarray(center_crop(images[rows], bundle.spec.input_size))
    captions = [_caption(answers, place) for place in places]
    heat = heat_maps(bundle, shown, answers.predicted[places])
    if heat is None:
        note = NO_PLACES.format(backbone=bundle.spec.backbone)
        return image_sheet(list(shown), captions, _COLUMNS, note)
    names = [answers.dataset.classes[label] for label in answers.predicted[places]]
    pairs = np.stack([shown, blend(shown, heat)], axis=1).reshape(-1, *shown.shape[1:])
    told = zip(captions, (f"for {shorten(name, 18)}" for name in names), strict=True)
    return image_sheet(list(pairs), [caption for both in told for caption in both], _COLUMNS)


def _caption(answers: Answers, place: int) -> str:
    classes, sure = answers.dataset.classes, f"{answers.confidence[place]:.0%}"
    if answers.right[place]:
        return f"{shorten(classes[answers.labels[place]], 16)} {sure}"
    actual, predicted = (classes[of[place]] for of in (answers.labels, answers.predicted))
    return f"{shorten(actual, 7)} → {shorten(predicted, 7)} {sure}"
