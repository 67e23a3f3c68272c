from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.tiny import tiny_params, write_split
from hypothesis import given
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.training.batches import EpochSampler
from classifier.training.curriculum import (
    Curriculum,
    CurriculumParams,
    digest_of,
    read_curriculum,
    write_losses,
)

ON = CurriculumParams(start=0.25, epochs=4)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path / "split")


def training_images(dataset: Dataset) -> pd.DataFrame:
    return dataset.manifest.iloc[dataset.rows("train")]


def test_the_easiest_images_of_each_class_come_first(dataset: Dataset, tmp_path: Path) -> None:
    images, labels = training_images(dataset), dataset.labels[dataset.rows("train")]
    losses = np.random.default_rng(0).random(len(images))
    write_losses(tmp_path / "losses.csv", images, losses)
    curriculum = read_curriculum(ON, dataset, tmp_path / "losses.csv")
    assert curriculum is not None
    shown = curriculum.places(1)
    for label in range(3):
        of_class = np.flatnonzero(labels == label)
        easiest = of_class[np.argsort(losses[of_class])[:3]]
        assert sorted(easiest) == [place for place in shown if labels[place] == label]


@given(start=st.floats(0.01, 0.99), epochs=st.integers(1, 30), epoch=st.integers(1, 40))
def test_images_are_only_added_until_all_take_part(start: float, epochs: int, epoch: int) -> None:
    curriculum = Curriculum(np.arange(50) / 50, start, epochs)
    now, later = curriculum.places(epoch), curriculum.places(epoch + 1)
    assert len(now) > 0
    assert set(now) <= set(later)
    assert len(curriculum.places(epochs + 1)) == 50


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_an_epoch_has_batches_of_the_images_that_take_part(sampling: str) -> None:
    curriculum = Curriculum(np.arange(40) / 40, 0.5, 10)
    sampler = EpochSampler(0, 8, "natural" if sampling == "natural" else "balanced", curriculum)
    batches = sampler.places(np.arange(40) % 2, 1)
    assert set(np.concatenate(batches)) <= set(range(20))
    assert [len(batch) for batch in batches] == [7, 7, 6]


def test_images_without_loss_come_last_and_are_counted(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = training_images(dataset)
    write_losses(tmp_path / "losses.csv", images[1:], np.zeros(len(images) - 1))
    curriculum = read_curriculum(ON, dataset, tmp_path / "losses.csv")
    assert curriculum is not None
    assert curriculum.ranks[0] == 11 / 12
    assert "curriculum: 1 of 36 training images come last" in capsys.readouterr().out


@pytest.mark.parametrize("column", ["class", "sha256"])
def test_loss_of_another_label_or_content_is_none_of_the_image(
    column: str, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = training_images(dataset).copy()
    images[column] = ["another", *images[column].iloc[1:]]
    write_losses(tmp_path / "losses.csv", images, np.zeros(len(images)))
    curriculum = read_curriculum(ON, dataset, tmp_path / "losses.csv")
    assert curriculum is not None
    assert curriculum.ranks[0] == 11 / 12
    assert "curriculum: 1 of 36 training images come last" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("path,class,sha256,loss\n", "has the loss of no training image"),
        ("path,class,sha256,loss\nother.png,red,0,1\n", "has the loss of no training image"),
        ("path,loss\na.png,1\n", "must be a CSV file with the columns path, class, sha256"),
        ("path,class,sha256,loss\na.png,red,0,high\n", "must be a CSV file"),
        ("path,class,sha256,loss\na.png,red,0,1\na.png,red,0,2\n", "has two losses of a.png"),
        (None, "is missing"),
    ],
)
def test_losses_that_do_not_fit_are_refused(
    dataset: Dataset, tmp_path: Path, content: str | None, sentence: str
) -> None:
    path = tmp_path / "losses.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=sentence):
        read_curriculum(ON, dataset, path)


def test_it_is_off_by_default_and_reads_nothing(dataset: Dataset, tmp_path: Path) -> None:
    assert read_curriculum(tiny_params().curriculum, dataset, tmp_path / "no.csv") is None


def test_other_losses_give_another_digest() -> None:
    one, other = (Curriculum(np.array(ranks), 0.5, 3) for ranks in ([0, 0.5], [0.5, 0]))
    assert len({digest_of(one), digest_of(other), digest_of(None)}) == 3
