import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classifier.evaluation.decisions.outside import (
    LabelledOutputs,
    Splits,
    fit_score,
    foreign_table,
    outside_lines,
    outside_table,
    outside_threshold,
)
from classifier.models.network_outputs import NetworkOutputs
from classifier.models.weights.stored_backbone import PretrainedHead
from classifier.processing.row_names import FOREIGN_IMAGES, MEAN_OF_CLASSES

CLASSES = ["cat", "dog", "wolf"]
CENTRES = np.random.default_rng(0).normal(size=(4, 20)) * 3


def outputs(label: int, images: int, seed: int) -> NetworkOutputs:
    """Images around the centre of a class; 3 is no class."""
    noise = np.random.default_rng([label, seed]).normal(size=(images, 20))
    features = CENTRES[label] + noise
    return NetworkOutputs(features, features @ CENTRES[:3].T / 5)


def split(images: int, seed: int) -> LabelledOutputs:
    parts = [outputs(label, images, seed) for label in range(3)]
    joined = NetworkOutputs(*(np.concatenate(of) for of in zip(*parts, strict=True)))
    return LabelledOutputs(joined, np.repeat(np.arange(3), images))


SPLITS = Splits(split(40, 0), split(20, 1), split(20, 2))


def test_class_that_is_left_out_is_told_from_the_others() -> None:
    table = outside_table(SPLITS, CLASSES, share=0.1, frozen=True).set_index("left_out")
    assert table.index.tolist() == [*CLASSES, MEAN_OF_CLASSES]
    assert table["images"]["cat"] == 80  # of all splits
    of_classes = table["auroc"][CLASSES]
    assert of_classes.min() > 0.9
    assert table["auroc"][MEAN_OF_CLASSES] == pytest.approx(of_classes.mean())
    assert set(table["backbone"]) == {"frozen"}
    assert "has seen" not in outside_lines(table.reset_index(), 0.1)[0]


def test_maximum_softmax_is_that_of_a_logistic_regression_on_the_other_classes() -> None:
    table = outside_table(SPLITS, CLASSES, share=0.1, frozen=True).set_index("left_out")
    images = np.concatenate([of.outputs.features for of in SPLITS])
    labels = np.concatenate([of.labels for of in SPLITS])
    for label, name in enumerate(CLASSES):
        kept, test = (of.labels != label for of in (SPLITS.train, SPLITS.test))
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.08))
        head.fit(SPLITS.train.outputs.features[kept], SPLITS.train.labels[kept])
        shown = [SPLITS.test.outputs.features[test], images[labels == label]]
        doubt = [1 - head.predict_proba(features).max(axis=1) for features in shown]
        is_other = np.repeat([0, 1], [len(of) for of in doubt])
        expected = roc_auc_score(is_other, np.concatenate(doubt))
        assert table["max_softmax_auroc"][name] == pytest.approx(expected, abs=0.01)


@pytest.mark.filterwarnings("error")
def test_many_classes_of_one_image_each_are_measured_without_a_warning() -> None:
    features = np.random.default_rng(0).normal(size=(60, 20))
    one = LabelledOutputs(NetworkOutputs(features, features @ features.T), np.arange(60))
    table = outside_table(
        Splits(one, one, one), [f"c{i}" for i in range(60)], share=0.1, frozen=True
    )
    assert len(table) == 11  # ten classes that are left out, and their mean


def test_backbone_that_was_trained_is_measured_on_test_images_and_named() -> None:
    table = outside_table(SPLITS, CLASSES, share=0.1, frozen=False).set_index("left_out")
    assert table.loc["dog", "images"] == 20
    assert set(table["backbone"]) == {"has seen the class"}
    (line,) = outside_lines(table.reset_index(), 0.1)
    assert " (by a backbone that has seen them), AUROC " in line
    (line,) = outside_lines(table.reset_index(), 0.1)
    assert "by a backbone that has seen them" in line


def test_last_layer_of_the_pretrained_network_tells_classes_that_it_knows() -> None:
    near = Splits(*(LabelledOutputs(_blurred(of.outputs), of.labels) for of in SPLITS))
    knows = PretrainedHead(CENTRES.astype(np.float32) * 2, np.zeros(4, np.float32))
    plain, matched = (
        outside_table(near, CLASSES, share=0.1, frozen=True, head=head).set_index("left_out")
        for head in (None, knows)
    )
    assert matched["auroc"][MEAN_OF_CLASSES] > plain["auroc"][MEAN_OF_CLASSES] + 0.02


def _blurred(outputs: NetworkOutputs) -> NetworkOutputs:
    """The same among noise, so that a class that is left out is hard to tell."""
    noise = np.random.default_rng(5).normal(size=outputs.features.shape) * 5
    return outputs._replace(features=outputs.features + noise)


def test_foreign_images_have_a_row_and_a_line() -> None:
    foreign = outputs(3, 30, 5)
    score = fit_score(SPLITS.train, SPLITS.val.outputs, None)
    table = foreign_table(SPLITS, foreign, score, 0.1)
    row = table.set_index("left_out").to_dict("index")[FOREIGN_IMAGES]
    assert row["images"] == 30
    assert row["refused"] > 0.5
    assert outside_lines(table, 0.1)[1].startswith("  refused of 30 foreign images: ")


def test_share_of_foreign_images_is_that_above_the_threshold_in_use() -> None:
    # A head that is surer of foreign images than of others, which no refitted one would be.
    logits = np.full((30, 3), [50.0, 0.0, 0.0])
    foreign = NetworkOutputs(outputs(3, 30, 5).features, logits)
    score = fit_score(SPLITS.train, SPLITS.val.outputs, None)
    above = outside_threshold(score(*SPLITS.val.outputs), 0.1)
    row = foreign_table(SPLITS, foreign, score, 0.1).iloc[0]
    assert row["refused"] == (score(*foreign) > above).mean() < 1
    assert row["good_refused"] == (score(*SPLITS.test.outputs) > above).mean()
    assert row["max_softmax_refused"] == 0


def test_two_classes_leave_nothing_to_compare() -> None:
    two = Splits(*(of.where(of.labels < 2) for of in SPLITS))
    assert outside_table(two, CLASSES[:2], share=0.1, frozen=True).empty


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_no_more_than_the_share_lies_above_the_threshold(share: float) -> None:
    scores = np.random.default_rng(0).normal(size=142)
    refused = (scores > outside_threshold(scores, share)).mean()
    assert share - 1 / 142 <= refused <= share


@pytest.mark.parametrize("share", [0.05, 0.3, 0.001])
def test_the_share_holds_for_scores_that_another_runtime_rounds_otherwise(share: float) -> None:
    scores = np.random.default_rng(0).normal(size=40)
    above = outside_threshold(scores, share)
    assert (scores + 1e-4 > above).mean() <= share
