"""An endpoint as LitServe's documentation shows it, with the same preprocessing and the same file.
A peer for `serving.py`, which starts it with a Python that has litserve installed.

    python benchmarks/deployment/litserve_peer.py path/to/models --port 5018 --workers 2 --batch 4
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import litserve  # pyright: ignore[reportMissingImports] (another environment has it)
import numpy as np
from fastapi import Request
from litserve.api import LitAPI  # pyright: ignore[reportMissingImports]

from classifier.inference.predict import load_model


class ImageAPI(LitAPI):
    """Decodes where LitServe decodes, and runs the ONNX file on one image or a batch."""

    def __init__(self, models: Path, int8: bool, **options: Any) -> None:
        super().__init__(**options)
        self._models, self._int8 = models, int8

    def setup(self, device: str) -> None:  # noqa: ARG002 (of LitServe)
        self.model = load_model(self._models, int8=self._int8, threads=1)

    def decode_request(self, request: Request) -> np.ndarray:
        # LitServe has read the form by then.
        return self.model.decode(request["image"].file.read())  # pyright: ignore[reportIndexIssue]

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> Any:
        if x.ndim == 4:
            return self.model.answers(x)
        return self.model.answers(x[np.newaxis])[0]

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"label": output.label, "probability": output.probability}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--port", type=int, default=5018)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    api = ImageAPI(options.models, options.int8, max_batch_size=options.batch, batch_timeout=0.002)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=options.workers, track_requests=False
    )
    server.run(port=options.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
