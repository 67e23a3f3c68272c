"""The plain recipe that the photos preset is measured against, as tutorials write it.

A frozen pretrained MobileNetV2 in float32, `ImageFolder`-like reading of the original photos with
torchvision's transforms, `DataLoader` with two workers, Adam, early stopping with patience 3.
It takes the same pictures and the same split as the pipeline, from `data/split/manifest.csv`.

    TORCH_HOME=… python benchmarks/plain_recipe.py boats.zip data/split/manifest.csv
"""

import copy
import io
import json
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

EPOCHS, PATIENCE, BATCH = 30, 3, 32
NORMALIZE = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
PLAIN = transforms.Compose(
    [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMALIZE]
)
AUGMENTED = transforms.Compose(
    [
        transforms.RandomResizedCrop(256, scale=(0.8, 1.0)),
        transforms.RandomRotation(15),
        transforms.ColorJitter(0.2, 0.2, 0.2),
        transforms.RandomHorizontalFlip(),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        NORMALIZE,
    ]
)


class Photos(Dataset[tuple[Tensor, int]]):
    """The photos of some manifest rows, decoded anew whenever they are asked for."""

    def __init__(self, archive: Path, table: pd.DataFrame, transform: transforms.Compose) -> None:
        self._archive, self._transform = archive, transform
        self._names, self._labels = table["path"].tolist(), table["label"].tolist()

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with zipfile.ZipFile(self._archive) as archive:
            content = archive.read(self._names[index])
        tensor = self._transform(Image.open(io.BytesIO(content)).convert("RGB"))
        assert isinstance(tensor, Tensor)
        return tensor, self._labels[index]


def main() -> None:
    archive, manifest = Path(sys.argv[1]), pd.read_csv(sys.argv[2])
    torch.manual_seed(0)
    parts = dict(list(manifest.groupby("split")))
    training = DataLoader(
        Photos(archive, parts["train"], AUGMENTED), BATCH, shuffle=True, num_workers=2
    )
    validation = DataLoader(Photos(archive, parts["val"], PLAIN), BATCH, num_workers=2)
    test = DataLoader(Photos(archive, parts["test"], PLAIN), BATCH, num_workers=2)
    model = build(manifest["label"].nunique())
    started = time.perf_counter()
    epochs = train(model, training, validation)
    seconds = time.perf_counter() - started
    result = {
        "seconds": round(seconds, 1),
        "epochs": epochs,
        "accuracy": round(evaluate(model, test)[1], 4),
    }
    print(json.dumps(result))


def build(classes: int) -> nn.Module:
    model = models.mobilenet_v2(weights="IMAGENET1K_V1")
    for weight in model.parameters():
        weight.requires_grad = False
    model.classifier = nn.Sequential(
        nn.Linear(1280, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, classes)
    )
    return model


def train(model: nn.Module, training: DataLoader, validation: DataLoader) -> int:
    """Train until validation loss has not fallen for PATIENCE epochs; the number of epochs."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([w for w in model.parameters() if w.requires_grad])
    best, since, kept = float("inf"), 0, copy.deepcopy(model.state_dict())
    epoch = 0
    while epoch < EPOCHS and since < PATIENCE:
        epoch += 1
        begun = time.perf_counter()
        model.train()
        for pictures, labels in training:
            optimizer.zero_grad()
            criterion(model(pictures), labels).backward()
            optimizer.step()
        loss, accuracy = evaluate(model, validation)
        took = time.perf_counter() - begun
        print(f"epoch {epoch}: {loss:.4f} {accuracy:.4f} {took:.1f} s", file=sys.stderr)
        if loss < best:
            best, since, kept = loss, 0, copy.deepcopy(model.state_dict())
        else:
            since += 1
    model.load_state_dict(kept)
    return epoch


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Mean loss and accuracy."""
    model.eval()
    loss, correct, size = 0.0, 0, 0
    for pictures, labels in loader:
        logits = model(pictures)
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(1) == labels).sum())
        size += len(labels)
    return loss / size, correct / size


if __name__ == "__main__":
    main()
