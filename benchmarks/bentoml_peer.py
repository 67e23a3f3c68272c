"""A service as BentoML's documentation shows it, with the same preprocessing and the same file.
A peer for `benchmarks/serving.py`, which starts it with a Python that has bentoml installed.

    MODELS=path/to/models WORKERS=2 BATCH=4 bentoml serve benchmarks/bentoml_peer.py:Peer
"""

import os
import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[1]))

import bentoml
import numpy as np
from bentoml.validators import ContentType

from classifier.inference.predict import load_model


@bentoml.service(workers=int(os.environ.get("WORKERS", "2")), traffic={"timeout": 60})
class Peer:
    """Decodes and infers in the workers that also speak HTTP."""

    def __init__(self) -> None:
        int8 = os.environ.get("INT8", "") == "1"
        self.model = load_model(os.environ["MODELS"], int8=int8, threads=1)

    @bentoml.api(route="/predict")
    def predict(self, image: Annotated[Path, ContentType("image/*")]) -> dict[str, object]:
        answer = self.model.answers(self.model.decode(image)[np.newaxis])[0]
        return {"label": answer.label, "probability": answer.probability}
