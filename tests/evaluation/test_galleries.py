from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.projects import CLASSES, make_project
from builders.tiny import tiny_bundle
from matplotlib.figure import Figure
from PIL import Image
from scipy.special import softmax
from torch import nn

from classifier.commands import gallery
from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.evaluation.galleries import (
    IMAGES,
    class_gallery,
    confident_mistakes,
    least_confident_correct,
)
from classifier.evaluation.grad_cam import NO_PLACES
from classifier.models.bundle import Bundle, load_bundle
from classifier.models.prediction import load_trained, predict_split
from classifier.plotting.figures import write_png
from classifier.processing.images import Preprocessing


def answers(confidence: list[float], predicted: list[int], labels: list[int]) -> Answers:
    """Of two classes; image i is of the grey i."""
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 6, 6, 3))
    paths = [f"a/{number}.png" for number in range(len(labels))]
    manifest = pd.DataFrame({"path": paths, "label": labels, "split": "test"})
    dataset = Dataset(
        images.astype(np.uint8), manifest, ["a", "a long name of a class"], Preprocessing(6, "crop")
    )
    given = np.full((len(labels), 2), 0.0)
    given[np.arange(len(labels)), predicted] = confidence
    given[np.arange(len(labels)), 1 - np.array(predicted)] = 1 - np.array(confidence)
    return Answers(dataset, np.arange(len(labels)), given)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    tiny_bundle(tmp_path / "models", stored_size=6, input_size=4)
    return load_bundle(tmp_path / "models")


def cells(figure: Figure) -> list[tuple[np.ndarray, str]]:
    """The images and their captions."""
    with_images = [axes for axes in figure.axes if axes.images]
    arrays = [np.asarray(axes.images[0].get_array()) for axes in with_images]
    assert all(array.shape == (4, 4, 3) for array in arrays)
    return [(array, axes.get_title()) for array, axes in zip(arrays, with_images, strict=True)]


def shown(figure: Figure) -> list[tuple[int, str]]:
    """The greys of the images without their heat, and their captions."""
    return [(int(array[0, 0, 0]), caption) for array, caption in cells(figure)[::2]]


GIVEN = answers([0.6, 0.9, 0.7, 0.8, 0.95], [0, 0, 1, 1, 0], [1, 0, 0, 1, 1])


def test_mistakes_come_with_the_most_confident_first(bundle: Bundle):
    assert shown(confident_mistakes(GIVEN, bundle)) == [
        (4, "a lon…class → a 95%"),
        (2, "a → a lon…class 70%"),
        (0, "a lon…class → a 60%"),
    ]


def test_hits_come_with_the_least_confident_first(bundle: Bundle):
    assert shown(least_confident_correct(GIVEN, bundle)) == [
        (3, "a long name of a class 80%"),
        (1, "a 90%"),
    ]


def test_beside_each_image_stands_what_speaks_for_the_predicted_class(bundle: Bundle):
    captions = [caption for _, caption in cells(confident_mistakes(GIVEN, bundle))]
    assert captions[1::2] == ["for a", "for a long na… a class", "for a"]


def test_where_there_is_no_heat_the_gallery_says_so(bundle: Bundle):
    bundle.model.backbone, bundle.model.head = nn.Flatten(), nn.Linear(48, 3)
    figure = confident_mistakes(GIVEN, bundle)
    assert len([axes for axes in figure.axes if axes.images]) == 3
    assert [text.get_text() for text in figure.texts] == [NO_PLACES.format(backbone="compact")]


def test_a_gallery_holds_so_many_images_at_most(bundle: Bundle):
    many = answers([0.9] * 100, [0] * 100, [1] * 100)
    assert [grey for grey, _ in shown(confident_mistakes(many, bundle))] == list(range(IMAGES))


def test_a_gallery_without_images_says_so(tmp_path: Path, bundle: Bundle):
    perfect = answers([0.9] * 3, [0] * 3, [0] * 3)
    figure = confident_mistakes(perfect, bundle)
    write_png(figure, tmp_path / "a.png")
    assert [text.get_text() for text in figure.texts] == ["no mistake"]


def test_the_sheet_of_a_class_is_drawn_on_demand(tmp_path: Path, monkeypatch, capsys):
    make_project(tmp_path, CLASSES)
    monkeypatch.chdir(tmp_path)
    gallery.main(["Cat"])
    assert capsys.readouterr().out.endswith(" images; results/gallery.png\n")
    with Image.open("results/gallery.png") as image:
        assert image.width > 500
    with pytest.raises(UserError, match="no class 'dog'; the classes are ape, great, bée, Cat, 7"):
        gallery.main(["dog"])


def test_the_sheet_of_a_class_begins_with_its_most_confident_mistakes(tmp_path: Path) -> None:
    make_project(tmp_path, CLASSES)
    bundle, dataset = load_trained(tmp_path / "models", tmp_path / "data/split")
    labels = dataset.labels[dataset.rows("test")]
    (logits,) = predict_split(bundle, dataset, "test", batch_size=8)
    given = softmax(logits / bundle.spec.temperature, axis=1)
    for label, name in enumerate(CLASSES):
        of_class = given[labels == label]
        right, confidence = of_class.argmax(axis=1) == label, of_class.max(axis=1)
        gallery = class_gallery(bundle, dataset, name)
        assert (gallery.images, gallery.correct) == (len(right), right.sum())
        order = [*sorted(confidence[~right], reverse=True), *sorted(confidence[right])]
        captions = [axes.get_title() for axes in gallery.figure.axes if axes.images]
        said = [caption.split()[-1] for caption in captions if caption.endswith("%")]
        assert said == [f"{share:.0%}" for share in order]


def test_every_image_stands_above_the_name_of_its_file(bundle: Bundle) -> None:
    drawn = [axes for axes in confident_mistakes(GIVEN, bundle).axes if axes.images]
    names = [axes.texts[0].get_text() for axes in drawn[::2]]
    assert names == [f"{number}.png" for number in (4, 2, 0)]
