"""The endpoint that tutorials show: Flask, Pillow, torchvision's transforms, PyTorch, an image a
request. A peer for `serving.py`, which starts it.

    python benchmarks/deployment/flask_peer.py path/to/models --port 5000
"""

import argparse
import io
from pathlib import Path

import torch
from flask import Flask, Response, jsonify, request
from PIL import Image
from torchvision import transforms

from classifier.models.bundle import load_bundle


def build(models: Path) -> Flask:
    bundle = load_bundle(models)
    spec, network = bundle.spec, bundle.model
    transform = transforms.Compose(
        [
            transforms.Resize(spec.stored_size),
            transforms.CenterCrop(spec.input_size),
            transforms.ToTensor(),
            transforms.Normalize(
                [value / 255 for value in spec.mean], [value / 255 for value in spec.std]
            ),
        ]
    )
    app = Flask(__name__)

    @app.post("/predict")
    def predict() -> Response:
        image = Image.open(io.BytesIO(request.files["image"].read())).convert("RGB")
        with torch.no_grad():
            # The network normalises by itself what it is given as a whole; here, transforms do.
            decoded = torch.as_tensor(transform(image))
            logits = network.head(network.backbone(decoded.unsqueeze(0)))
        probabilities = torch.softmax(logits[0] / spec.temperature, 0)
        index = int(probabilities.argmax())
        return jsonify(label=spec.classes[index], probability=float(probabilities[index]))

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args()
    build(options.models).run(port=options.port, threaded=True)


if __name__ == "__main__":
    main()
