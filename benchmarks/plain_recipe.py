"""The recipe of most tutorials, to compare with: frozen backbone, DataLoader, Adam, early stopping.

    python benchmarks/plain_recipe.py boats.zip data/split --seed 0

Unpacks the archive, takes the split from `manifest.csv`, decodes and augments every image in
every epoch with torchvision's transforms in two workers, runs a frozen MobileNetV2 in float32, and
stops after three epochs without a lower validation loss. Prints a line of JSON.
"""

import argparse
import copy
import json
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPOCHS, PATIENCE, BATCH, RATE = 30, 3, 32, 0.001
TO_TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
TRAINING = v2.Compose(
    [
        v2.RandomResizedCrop(224, scale=(0.8, 1.0)),
        v2.RandomRotation([-15, 15]),
        v2.ColorJitter(0.2, 0.2, 0.2),
        v2.RandomHorizontalFlip(),
        *TO_TENSOR,
    ]
)
JUDGING = v2.Compose([v2.Resize(256), v2.CenterCrop(224), *TO_TENSOR])


class Photos(Dataset[tuple[Tensor, int]]):
    """Photos of some rows of the manifest, decoded whenever they are asked for."""

    def __init__(self, folder: Path, rows: pd.DataFrame, change: Callable[..., Tensor]) -> None:
        self._folder, self._change = folder, change
        self._paths, self._labels = rows["path"].tolist(), rows["label"].tolist()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        with Image.open(self._folder / self._paths[place]) as image:
            return self._change(image.convert("RGB")), self._labels[place]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    manifest = pd.read_csv(options.split / "manifest.csv")
    torch.manual_seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with zipfile.ZipFile(options.archive) as archive:
            archive.extractall(folder)
        loaders = {
            str(split): DataLoader(
                Photos(Path(folder), rows, TRAINING if split == "train" else JUDGING),
                BATCH,
                shuffle=split == "train",
                num_workers=2,
            )
            for split, rows in manifest.groupby("split")
        }
        network, epochs = train(loaders, manifest["label"].nunique(), options.epochs)
        seconds = time.perf_counter() - started
        # The loader's workers are programs that have ended by now.
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        processor = sum(one.ru_utime + one.ru_stime for one in used)
        _, accuracy = judge(network, loaders["test"])
    row = {"seed": options.seed, "seconds": seconds, "processor_seconds": processor}
    row |= {"epochs": epochs, "test_accuracy": accuracy}
    print(json.dumps({name: round(value, 3) for name, value in row.items()}))


def train(loaders: dict[str, DataLoader], classes: int, epochs: int) -> tuple[nn.Module, int]:
    """The network with its best head, and the number of epochs that were run."""
    network = torchvision.models.mobilenet_v2(weights="IMAGENET1K_V1").requires_grad_(False)
    network.classifier = nn.Sequential(
        nn.Linear(1280, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, classes)
    )
    optimizer = torch.optim.Adam(network.classifier.parameters(), RATE)
    epoch, best_loss, best_epoch = 0, float("inf"), 0
    best_weights = network.state_dict()
    for epoch in range(1, epochs + 1):
        network.train()
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
        loss, _ = judge(network, loaders["val"])
        if loss < best_loss:
            best_loss, best_epoch = loss, epoch
            best_weights = copy.deepcopy(network.state_dict())
        if epoch - best_epoch >= PATIENCE:
            break
    network.load_state_dict(best_weights)
    return network, epoch


@torch.no_grad()
def judge(network: nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Mean loss and accuracy."""
    network.eval()
    loss, correct, size = 0.0, 0, 0
    for images, labels in loader:
        logits = network(images)
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(1) == labels).sum())
        size += len(labels)
    return loss / size, correct / size


if __name__ == "__main__":
    main()
