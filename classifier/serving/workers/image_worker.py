"""Decode images and run the model on them: what each worker of the server does.

A worker is a process (`workers.process`) or a thread of the server (`workers.thread`). It imports
nothing that speaks HTTP.
"""

import io
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from classifier.core.errors import UserError
from classifier.inference.measures import image_measures
from classifier.inference.occlusion import blend, occlusion_map
from classifier.inference.predict import Model
from classifier.processing.formats import sniff
from classifier.processing.images import DecodedImage, center_crop
from classifier.serving.answer_content import answer_content
from classifier.serving.limits import FREE_BYTES, Limits

# Waits until so many bytes may be used for decoding.
Grant = Callable[[int], None]


class Task(NamedTuple):
    """What is asked about one image.

    Attributes:
        content: Of the file.
        top_k: Number of classes in `top` of the answer.
    """

    content: bytes
    top_k: int


class Outcome(NamedTuple):
    """What became of one image.

    Attributes:
        content: The answer as `ImageAnswer` describes it; None with an error.
        error: Why there is no answer; empty with an answer.
        decoding: Seconds.
        inference: Seconds of the call of the model, which several images may share.
        waiting: Seconds until a worker took the image.
        measures: Size and brightness of the image, see `image_measures`; None with an error.
    """

    content: dict[str, Any] | None
    error: str = ""
    decoding: float = 0.0
    inference: float = 0.0
    waiting: float = 0.0
    measures: dict[str, Any] | None = None


class ImageWorker:
    """Answers images with one model; one call at a time."""

    def __init__(self, model: Model, limits: Limits) -> None:
        """Keep the model, whose calls use the threads that it was loaded with."""
        self._model, self._limits = model, limits

    def answer(
        self, tasks: Sequence[Task], grant: Grant, decoded_all: Callable[[], None]
    ) -> list[Outcome]:
        """Return the outcomes for images, which share one call of the model.

        decoded_all: Called when nothing is left to do but that call.
        """
        decoded: list[DecodedImage | str] = []
        seconds: list[float] = []
        for task in tasks:
            started = time.perf_counter()
            try:
                decoded.append(self._decode(task.content, grant))
            except UserError as error:
                decoded.append(str(error))
            seconds.append(time.perf_counter() - started)
        decoded_all()
        good = [image.pixels for image in decoded if not isinstance(image, str)]
        started = time.perf_counter()
        answers = iter(self._model.answers(np.stack(good)) if good else [])
        inference = time.perf_counter() - started
        return [
            Outcome(None, image, spent)
            if isinstance(image, str)
            else Outcome(
                answer_content(next(answers), task.top_k, image.warnings),
                "",
                spent,
                inference,
                measures=image_measures(image.pixels, image.width, image.height),
            )
            for task, image, spent in zip(tasks, decoded, seconds, strict=True)
        ]

    def heat_map(self, content: bytes, index: int | None, grant: Grant) -> bytes:
        """Return a PNG of the image regions that support a class.

        Args:
            content: Of the image file.
            index: Of the class; None for that of `Answer.best`.
            grant: See `Grant`.

        Raises:
            UserError: The image cannot be read, or there is no such class.
        """
        model = self._model
        classes = len(model.spec.classes)
        if index is not None and index >= classes:
            raise UserError(f"index: the model has {classes} classes, from 0 on.")
        pixels = self._decode(content, grant).pixels
        if index is None:
            index = model.answers(pixels[np.newaxis])[0].best.index
        image = center_crop(pixels, model.spec.input_size)
        heat = occlusion_map(model.predictor, image, index, model.spec.mean)
        buffer = io.BytesIO()
        Image.fromarray(blend(image[np.newaxis], heat[np.newaxis])[0]).save(buffer, "PNG")
        return buffer.getvalue()

    def _decode(self, content: bytes, grant: Grant) -> DecodedImage:
        kind = sniff(content)
        if kind is not None and kind not in self._limits.formats:
            taken = ", ".join(self._limits.formats)
            raise UserError(f"it is a {kind} file; this server takes {taken} (see --formats).")

        def admit(needed: int) -> None:
            limit = self._limits.max_decoded
            if needed > limit:
                raise UserError(
                    f"decoding it takes up to {needed >> 20:,} MiB of memory; {limit >> 20:,} is "
                    "the limit."
                )
            if needed > FREE_BYTES:
                grant(needed)

        return self._model.read(content, self._limits.max_pixels, admit)
