"""A service as BentoML's documentation shows it, with the same preprocessing and the same file.
A peer for `serving.py`, which starts it with a Python that has bentoml installed.

    MODELS=path/to/models WORKERS=2 bentoml serve bentoml_peer:Peer      # or :BatchPeer
"""

import os
import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[2]))

import bentoml  # pyright: ignore[reportMissingImports] (another environment has it)
import numpy as np
from bentoml.validators import ContentType  # pyright: ignore[reportMissingImports]

from classifier.inference.predict import load_model

WORKERS = int(os.environ.get("WORKERS", "2"))
Images = list[Annotated[Path, ContentType("image/*")]]


class Answering:
    """The model, in each worker."""

    def __init__(self) -> None:
        int8 = os.environ.get("INT8", "") == "1"
        self.model = load_model(os.environ["MODELS"], int8=int8, threads=1)

    def answers(self, images: Images) -> list[dict[str, object]]:
        decoded = np.stack([self.model.decode(image) for image in images])
        return [
            {"label": answer.label, "probability": answer.probability}
            for answer in self.model.answers(decoded)
        ]


@bentoml.service(workers=WORKERS, traffic={"timeout": 60})
class Peer:
    """Decodes and infers in the workers that also speak HTTP."""

    def __init__(self) -> None:
        self.answering = Answering()

    @bentoml.api(route="/predict")
    def predict(self, image: Annotated[Path, ContentType("image/*")]) -> dict[str, object]:
        return self.answering.answers([image])[0]


@bentoml.service(workers=WORKERS, traffic={"timeout": 60})
class BatchPeer:
    """The same, with BentoML's batches."""

    def __init__(self) -> None:
        self.answering = Answering()

    @bentoml.api(route="/predict", batchable=True, max_batch_size=4, max_latency_ms=1000)
    def predict(self, image: Images) -> list[dict[str, object]]:
        return self.answering.answers(image)
