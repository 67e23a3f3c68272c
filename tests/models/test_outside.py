from pathlib import Path

import numpy as np
import pytest
import torch
from builders.tiny import IMAGE_SIZE, tiny_model

from classifier.core.errors import UserError
from classifier.metrics.kl_matching import fit_matching
from classifier.metrics.outside import OutsideScore, fit_outside
from classifier.models.outside import (
    OUTSIDE_FILE,
    ScoredClassifier,
    load_outside,
    save_outside,
    with_scores,
)

SHAPE = (40, IMAGE_SIZE, IMAGE_SIZE, 3)
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8))
MODEL = "of this model"


@pytest.fixture(params=["plain", "matching"])
def score(request: pytest.FixtureRequest) -> OutsideScore:
    model = tiny_model()
    with torch.no_grad():
        features = model.features(IMAGES)
        fitted, others = features[:20].numpy(), features[20:]
        head = np.random.default_rng(1).normal(size=(11, fitted.shape[1])), np.zeros(11)
        labels = np.arange(20) % 3
        matching = fit_matching(*head, fitted, labels) if request.param == "matching" else None
        return fit_outside(fitted, others.numpy(), model.head(others).numpy(), matching)


def test_network_gives_the_scores_that_were_fitted(score: OutsideScore) -> None:
    model = tiny_model()
    with torch.no_grad():
        logits, outside = with_scores(model, score)(IMAGES)
        features = model.features(IMAGES)
    assert logits.equal(model(IMAGES))
    expected = score(features.numpy(), logits.numpy())
    assert outside.numpy() == pytest.approx(expected, abs=1e-3)


def test_network_gives_the_scores_where_the_subspace_leaves_nearly_nothing() -> None:
    generator = np.random.default_rng(2)
    low_rank = generator.normal(size=(60, 2)) @ generator.normal(size=(2, 32)) + 3
    features = (low_rank + 1e-3 * generator.normal(size=low_rank.shape)).astype(np.float32)
    logits = generator.normal(size=(60, 3)).astype(np.float32)
    score = fit_outside(features[:40], features[40:], logits[40:])
    network = ScoredClassifier(tiny_model(), score)
    (given,) = network.beside(torch.from_numpy(features), torch.from_numpy(logits))
    assert given.numpy() == pytest.approx(score(features, logits), abs=1e-3)


@pytest.mark.parametrize("with_score", [True, False])
def test_network_gives_the_cosine_to_training_images(score: OutsideScore, with_score: bool) -> None:
    model = tiny_model()
    with torch.no_grad():
        features = model.features(IMAGES).numpy()
        directions = features / np.linalg.norm(features, axis=1, keepdims=True)
        network = with_scores(model, score if with_score else None, directions[:5])
        given = [one.numpy() for one in network(IMAGES)]
    assert len(given) == 2 + with_score
    np.testing.assert_allclose(given[-1], directions @ directions[:5].T, atol=1e-5)


def test_without_a_score_the_network_stays_as_it_is() -> None:
    model = tiny_model()
    assert with_scores(model, None) is model


def test_score_is_read_as_it_was_written(tmp_path: Path, score: OutsideScore) -> None:
    path = tmp_path / OUTSIDE_FILE
    save_outside(score, path, MODEL)
    loaded = load_outside(path, MODEL)
    assert loaded is not None
    *values, matching = score
    *again, matching_again = loaded
    assert all(np.array_equal(one, other) for one, other in zip(again, values, strict=True))
    assert (matching is None) == (matching_again is None)
    for one, other in zip(matching or (), matching_again or (), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    first = path.read_bytes()
    save_outside(loaded, path, MODEL)
    assert path.read_bytes() == first
    assert isinstance(with_scores(tiny_model(), loaded), ScoredClassifier)


def test_file_without_a_score_says_that_there_is_none(tmp_path: Path) -> None:
    save_outside(None, tmp_path / OUTSIDE_FILE, MODEL)
    assert load_outside(tmp_path / OUTSIDE_FILE, MODEL) is None


def test_missing_and_damaged_files_are_reported(tmp_path: Path) -> None:
    path = tmp_path / OUTSIDE_FILE
    with pytest.raises(UserError, match="run the evaluate stage"):
        load_outside(path, MODEL)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"is damaged .*run the evaluate stage again"):
        load_outside(path, MODEL)


def test_file_of_an_older_version_is_reported(tmp_path: Path, score: OutsideScore) -> None:
    save_outside(score._replace(weights=score.weights[:3]), tmp_path / OUTSIDE_FILE, MODEL)
    with pytest.raises(UserError, match=r"3 weights instead of 4\): run the evaluate stage again"):
        load_outside(tmp_path / OUTSIDE_FILE, MODEL)
