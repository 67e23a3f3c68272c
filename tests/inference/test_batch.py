import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.colours import CLASSES, image_of, write_models

from classifier.core.errors import UserError
from classifier.inference.batch import BATCH_SIZE, classify_all
from classifier.inference.image_files import Found
from classifier.inference.predict import Model, load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_models(tmp_path_factory.mktemp("models")), threads=1)


def images(count: int) -> list[Found]:
    contents = [image_of(colour) for colour in CLASSES]
    return [Found(f"{number}", contents[number % 3]) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, BATCH_SIZE, 5 * BATCH_SIZE + 1])
@pytest.mark.parametrize("known", [True, False])
def test_outcomes_come_in_order_one_for_each_image(model: Model, count: int, known: bool) -> None:
    found = images(count)
    outcomes = list(classify_all(model, found, count=count if known else None, workers=3))
    assert [outcome.name for outcome in outcomes] == [one.name for one in found]
    labels = [outcome.answer.label for outcome in outcomes if outcome.answer]
    assert labels == [CLASSES[number % 3] for number in range(count)]


def test_bad_images_do_not_disturb_their_batch(model: Model, tmp_path: Path) -> None:
    good = image_of("green")
    contents = [b"no image", good, UserError("said before."), tmp_path / "missing.png", good]
    found = [Found(str(number), content) for number, content in enumerate(contents)]
    outcomes = list(classify_all(model, found, workers=1))
    assert [outcome.answer and outcome.answer.label for outcome in outcomes] == [
        None,
        "green",
        None,
        None,
        "green",
    ]
    assert "no image in a known format" in outcomes[0].problem
    assert [outcome.problem for outcome in outcomes[1:4]] == [
        "",
        "said before.",
        "No such file or directory.",
    ]


def test_images_are_read_only_as_they_are_needed(model: Model) -> None:
    taken = 0

    def endless() -> Iterator[Found]:
        nonlocal taken
        content = image_of("red")
        while True:
            taken += 1
            yield Found("red", content)

    outcomes = classify_all(model, endless(), workers=2)
    for _ in range(3 * BATCH_SIZE):
        next(outcomes)
    outcomes.close()
    assert taken <= 8 * BATCH_SIZE


def test_few_images_are_shared_out_among_the_threads(model: Model) -> None:
    meeting = threading.Barrier(2, timeout=60)

    class Watched(Model):
        """Waits for another thread to decode at the same time."""

        def read(self, content, max_pixels=None):  # type: ignore[no-untyped-def]
            meeting.wait()
            return model.read(content)

    watched = Watched(**vars(model))
    assert len(list(classify_all(watched, images(2), count=2, workers=2))) == 2
