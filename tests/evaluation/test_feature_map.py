from pathlib import Path

import numpy as np
import pytest
from builders.tiny import tiny_bundle, write_split
from sklearn.neighbors import KNeighborsClassifier

from classifier.evaluation.answers import Answers
from classifier.evaluation.feature_map import map_features
from classifier.models.bundle import Bundle, load_bundle
from classifier.models.extractor import FeatureExtractor
from classifier.processing.views import named_view


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    dataset = write_split(tmp_path / "split")
    rows = dataset.rows("test")
    given = np.full((len(rows), 3), 0.2)
    given[:, 1] = 0.6
    return Answers(dataset, rows, given)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    tiny_bundle(tmp_path / "models")
    return load_bundle(tmp_path / "models")


def features_of(bundle: Bundle, answers: Answers, rows: np.ndarray) -> np.ndarray:
    centre = named_view("identity", 8, 8)
    (features,) = FeatureExtractor(bundle.model).features(answers.dataset.images, rows, [centre])
    return features


def test_accuracy_of_the_neighbours_is_scikit_learns(bundle: Bundle, answers: Answers) -> None:
    dataset = answers.dataset
    train = dataset.rows("train")
    peer = KNeighborsClassifier(
        10,
        metric="cosine",
        weights=lambda distances: 1 - distances,  # pyright: ignore[reportArgumentType]
        algorithm="brute",
    )
    peer.fit(features_of(bundle, answers, train), dataset.labels[train])
    expected = peer.score(features_of(bundle, answers, answers.rows), answers.labels)
    assert map_features(bundle, answers).accuracy == pytest.approx(expected)


def test_nearest_images_are_training_images_in_the_order_of_their_similarity(
    bundle: Bundle, answers: Answers
) -> None:
    table = map_features(bundle, answers).table
    dataset = answers.dataset
    row_of = {path: row for row, path in enumerate(dataset.manifest["path"])}
    named = table[["nearest_1", "nearest_2", "nearest_3"]].map(row_of.__getitem__).to_numpy()
    assert set(named.flat) <= set(dataset.rows("train"))
    asked = features_of(bundle, answers, answers.rows)
    for place, images in enumerate(named):
        near = features_of(bundle, answers, images)
        lengths = np.linalg.norm(near, axis=1) * np.linalg.norm(asked[place])
        similarity = near @ asked[place] / lengths
        assert (np.diff(similarity) <= 1e-6).all()


def test_the_map_has_a_place_for_each_test_image(bundle: Bundle, answers: Answers) -> None:
    table = map_features(bundle, answers).table
    assert table["path"].tolist() == answers.paths.tolist()
    assert table["right"].tolist() == (answers.labels == 1).tolist()
    assert table["x"].std() >= table["y"].std() > 0
    assert abs(table["x"].mean()) < 0.01
