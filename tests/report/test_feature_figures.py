from dataclasses import replace
from pathlib import Path

import numpy as np
from builders.tiny import CLASSES, write_split

from classifier.report.feature_figures import draw_feature_map, draw_similar


def row(name: str, path: str, *, right: bool) -> dict[str, str]:
    nearest = {f"nearest_{number}": path for number in (1, 2, 3)}
    place = {"x": "1.5", "y": "-2"}
    return {"path": path, "class": name, "predicted": "red", "right": str(right)} | place | nearest


def test_the_legend_names_classes_in_their_order_and_the_mistakes() -> None:
    rows = [row(name, "a.png", right=name != "blue") for name in ("blue", "green", "blue", "red")]
    (axes,) = draw_feature_map(rows, CLASSES).axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [*CLASSES, "mistakes"]


def test_with_many_classes_the_rare_ones_are_grey_together() -> None:
    classes = [f"class {number:02d}" for number in range(12)]
    rows = [row(name, "a.png", right=True) for name in classes for _ in range(len(name))]
    rows += [row(name, "a.png", right=True) for name in classes[2:]]
    (axes,) = draw_feature_map(rows, classes).axes
    legend = axes.get_legend()
    assert legend is not None
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == [*classes[2:], "other classes"]
    # In matplotlib's colours, the eighth is grey too.
    *named, others = [np.asarray(part.get_facecolor())[0] for part in axes.collections]
    assert min(np.abs(colour - others).max() for colour in named) > 0.1


def test_classes_differ_in_shape_for_those_who_see_no_difference_of_colours() -> None:
    classes = [f"class {number}" for number in range(10)]
    (axes,) = draw_feature_map([row(name, "a.png", right=True) for name in classes], classes).axes
    shapes = {np.asarray(part.get_paths()[0].vertices).tobytes() for part in axes.collections}
    assert len(shapes) == 10


def test_mistakes_stand_beside_similar_training_images(tmp_path: Path) -> None:
    dataset = write_split(tmp_path)
    paths = dataset.manifest["path"]
    wrong, good = (row(path.split("/")[0], path, right=False) for path in paths[:2])
    good["right"] = "True"
    figure = draw_similar([wrong, good], dataset)
    captions = [axes.get_title() for axes in figure.axes]
    assert captions == [f"{wrong['class']} → red", *[wrong["class"]] * 3]


def test_both_classes_of_a_mistake_fit_into_its_caption(tmp_path: Path) -> None:
    long = {name: f"{name} boat, seen from land" for name in CLASSES}
    dataset = write_split(tmp_path)
    manifest = dataset.manifest.assign(**{"class": dataset.manifest["class"].map(long)})
    dataset = replace(dataset, classes=list(long.values()), manifest=manifest)
    mistake = row(manifest["class"][0], manifest["path"][0], right=False)
    for predicted in long.values():
        figure = draw_similar([mistake | {"predicted": predicted}], dataset)
        actual, told = figure.axes[0].get_title().split(" → ")
        assert (actual == told) == (predicted == mistake["class"])


def test_a_run_without_mistakes_says_so(tmp_path: Path) -> None:
    figure = draw_similar([row("red", "a.png", right=True)], write_split(tmp_path))
    assert [text.get_text() for text in figure.texts] == ["no mistakes on the test split"]
