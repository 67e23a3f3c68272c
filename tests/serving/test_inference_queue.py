import threading
import time
from pathlib import Path

import numpy as np
import pytest
from builders.colours import CLASSES, image_of, write_models

from classifier.core.errors import UserError
from classifier.inference.onnx_runtime import Outputs
from classifier.inference.predict import Model, load_model
from classifier.serving.inference_queue import BusyError, InferenceQueue, useful_batch_size


class Gated(Model):
    """Decodes only while its gate is open, and notes how many images the model gets at once."""

    gate: threading.Event
    sizes: list[int]

    def decode(self, content, max_pixels=0):
        assert self.gate.wait(10)
        if content == b"fault":
            raise RuntimeError("a fault of ours")
        return super().decode(content, max_pixels or 10**6)

    def answers(self, images):
        self.sizes.append(len(images))
        return super().answers(images)


@pytest.fixture
def model(tmp_path: Path) -> Gated:
    gated = Gated(**vars(load_model(write_models(tmp_path), threads=1)))
    object.__setattr__(gated, "gate", threading.Event())
    object.__setattr__(gated, "sizes", [])
    return gated


def start(
    model: Model, *, threads: int = 1, capacity: int = 8, batch_size: int = 1
) -> InferenceQueue:
    queue = InferenceQueue(
        model, threads=threads, capacity=capacity, max_pixels=10**6, batch_size=batch_size
    )
    queue.start()
    return queue


def wait_until_taken(queue: InferenceQueue) -> None:
    while queue.waiting:
        time.sleep(0.001)


def test_each_future_gets_the_answer_of_its_image(model: Gated) -> None:
    model.gate.set()
    queue = start(model, threads=3, batch_size=2)
    futures = queue.submit([image_of(colour) for colour in CLASSES])
    assert [future.result(10).answer.label for future in futures] == CLASSES
    queue.close()


def test_full_queue_refuses_all_or_nothing(model: Gated) -> None:
    queue = start(model, capacity=2)
    first = queue.submit([image_of("red")])
    wait_until_taken(queue)
    waiting = queue.submit([image_of("red")])
    assert queue.has_room
    with pytest.raises(BusyError) as caught:
        queue.submit([image_of("red")] * 2)
    assert caught.value.retry_after >= 1
    assert queue.waiting == 1
    model.gate.set()
    assert [future.result(10).answer.label for future in first + waiting] == ["red"] * 2
    queue.close()


def test_closing_answers_what_was_accepted_and_takes_no_more(model: Gated) -> None:
    queue = start(model)
    futures = queue.submit([image_of("blue")] * 3)
    closing = threading.Thread(target=queue.close)
    closing.start()
    while queue.has_room:
        time.sleep(0.001)
    with pytest.raises(BusyError):
        queue.submit([image_of("blue")])
    model.gate.set()
    assert [future.result(10).answer.label for future in futures] == ["blue"] * 3
    closing.join(10)


def test_bad_image_and_fault_reach_who_waits_and_the_thread_lives_on(model: Gated) -> None:
    model.gate.set()
    queue = start(model)
    bad, fault, good = queue.submit([b"no image", b"fault", image_of("green")])
    with pytest.raises(UserError, match="no image in a known format"):
        bad.result(10)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        fault.result(10)
    assert good.result(10).answer.label == "green"
    queue.close()


def test_image_that_nobody_waits_for_is_not_computed(model: Gated) -> None:
    queue = start(model)
    queue.submit([image_of("red")])
    wait_until_taken(queue)
    given_up, wanted = queue.submit([image_of("red")] * 2)
    assert given_up.cancel()
    model.gate.set()
    assert wanted.result(10).answer.label == "red"
    assert sum(model.sizes) == 2
    queue.close()


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1, 1, 1, 1, 1]), (4, [1, 4])])
def test_waiting_images_share_a_call_where_that_is_allowed(
    model: Gated, batch_size: int, sizes: list[int]
) -> None:
    queue = start(model, batch_size=batch_size)
    first = queue.submit([image_of("red")])
    wait_until_taken(queue)
    rest = queue.submit([image_of("red")] * 4)
    model.gate.set()
    for future in first + rest:
        future.result(10)
    assert model.sizes == sizes
    queue.close()


@pytest.mark.parametrize(("fixed", "each", "expected"), [(1.0, 0.0, 4), (0.0, 1.0, 1)])
def test_batches_are_on_only_where_they_measure_better(
    fixed: float, each: float, expected: int
) -> None:
    """fixed, each: seconds of a call, and of every image in it."""
    now = 0.0

    def predict(images: np.ndarray) -> Outputs:
        nonlocal now
        now += fixed + each * len(images)
        return Outputs(images, None)

    assert useful_batch_size(predict, np.zeros((4, 2, 2, 3), np.uint8), lambda: now) == expected
