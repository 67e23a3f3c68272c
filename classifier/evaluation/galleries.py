"""Galleries: sheets of images with the model's answer and a heat map, to see why it errs."""

from typing import NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.evaluation.grad_cam import NO_PLACES, heat_maps
from classifier.inference.occlusion import blend
from classifier.models.bundle import Bundle
from classifier.models.prediction import predict_split
from classifier.plotting.agg import Figure
from classifier.plotting.figures import image_sheet, new_figure
from classifier.plotting.fonts import drawable_names
from classifier.plotting.short_names import short_names
from classifier.processing.images import center_crop
from classifier.processing.softmax import probabilities

IMAGES = 12
_COLUMNS = 6
_MOST_OF_A_CLASS = 60
_BATCH = 32


def confident_mistakes(answers: Answers, bundle: Bundle) -> Figure:
    """Draw the wrong answers with the highest confidence: often the label is wrong.

    See `sheet`.
    """
    wrong = np.flatnonzero(~answers.right)
    order = np.argsort(-answers.confidence[wrong], kind="stable")
    return sheet(answers, wrong[order][:IMAGES], bundle, "no mistake")


def least_confident_correct(answers: Answers, bundle: Bundle) -> Figure:
    """Draw the correct answers with the lowest confidence; see `sheet`."""
    right = np.flatnonzero(answers.right)
    order = np.argsort(answers.confidence[right], kind="stable")
    return sheet(answers, right[order][:IMAGES], bundle, "no right answer")


class ClassGallery(NamedTuple):
    """A sheet of a class's test images, their number, and how many are classified correctly."""

    figure: Figure
    images: int
    correct: int


def class_gallery(bundle: Bundle, dataset: Dataset, name: str) -> ClassGallery:
    """Draw the test images of a class, at most 60: mistakes first, the most confident ones.

    The correct answers follow, the least confident ones first.

    Args:
        bundle: the trained model.
        dataset: the data set that it belongs to (`load_trained`).
        name: of the class.

    Raises:
        UserError: where there is no such class, or it has no test images.
    """
    if name not in dataset.classes:
        raise UserError(
            f"there is no class {name!r}; the classes are {', '.join(dataset.classes)}."
        )
    rows = dataset.rows("test")
    chosen = dataset.labels[rows] == dataset.classes.index(name)
    if not chosen.any():
        raise UserError(f"{name!r} has no test images.")
    (logits,) = predict_split(bundle, dataset, "test", batch_size=_BATCH)
    given = probabilities(logits[chosen], bundle.spec.temperature)
    answers = Answers(dataset, rows[chosen], given)
    order = np.argsort(np.where(answers.right, 2 + answers.confidence, 1 - answers.confidence))
    figure = sheet(answers, order[:_MOST_OF_A_CLASS], bundle, "no test image")
    return ClassGallery(figure, len(order), int(answers.right.sum()))


def sheet(answers: Answers, places: np.ndarray, bundle: Bundle, otherwise: str) -> Figure:
    """Draw images, each beside its heat map, where the network allows one.

    A caption gives the true class, the predicted one if it is another, and the confidence; the
    file's name stands below. The heat map shows the regions that support the predicted class.

    Args:
        answers: of the model.
        places: which of the answers, int `(m,)`.
        bundle: the model that gave them.
        otherwise: text of the figure where there are no images.
    """
    if len(places) == 0:
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, otherwise, ha="center", va="center")
        return figure
    images, rows = answers.dataset.images, answers.rows[places]
    shown = np.ascontiguousarray(center_crop(images[rows], bundle.spec.input_size))
    classes = drawable_names(answers.dataset.classes)
    captions = _captions(answers, places, classes)
    files = answers.dataset.manifest["path"].iloc[rows].tolist()
    heat = heat_maps(bundle, shown, answers.predicted[places])
    if heat is None:
        note = NO_PLACES.format(backbone=bundle.spec.backbone.name)
        return image_sheet(list(shown), captions, _COLUMNS, files=files, note=note)
    pairs = np.stack([shown, blend(shown, heat)], axis=1).reshape(-1, *shown.shape[1:])
    names = short_names(classes, 18)
    heated = (f"for {names[label]}" for label in answers.predicted[places])
    both = [caption for pair in zip(captions, heated, strict=True) for caption in pair]
    return image_sheet(
        list(pairs), both, _COLUMNS, files=[name for file in files for name in (file, "")]
    )


def _captions(answers: Answers, places: np.ndarray, classes: list[str]) -> list[str]:
    alone, of_two = short_names(classes, 22), short_names(classes, 11)
    captions = []
    for place in places:
        actual, predicted = answers.labels[place], answers.predicted[place]
        sides = f"{of_two[actual]} → {of_two[predicted]}"
        name = alone[actual] if answers.right[place] else sides
        captions.append(f"{name} {answers.confidence[place]:.0%}")
    return captions
