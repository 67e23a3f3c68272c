"""What the report stage reads, what it opens, and the page that it writes."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np


def write_the_rest(folder: Path) -> None:
    """What download, train and export leave."""
    source = {
        "source": "archive",
        "url": f"{folder}/photos.zip",
        "shards": 1,
        "files": {"photos.zip": {"checksum": f"sha256:{'ab' * 32}", "bytes": 1234567}},
    }
    training = {
        "val_accuracy": 0.9,
        "val_loss": 0.3,
        "epochs": 7,
        "best_epoch": 5,
        "parameters": 1000,
        "trainable_parameters": 10,
    }
    write("data/raw/source.json", json.dumps(source))
    write("results/train/metrics.json", json.dumps(training))
    write(
        "results/train/history.csv",
        "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy\n"
        "1,0.1,2.0,0.4,2.1,0.3\n2,0.1,1.0,0.7,1.1,0.6\n",
    )
    write(
        "results/export/formats.csv",
        "format,file,megabytes,accuracy,top1_agreement,max_logit_difference,sha256\n"
        f"onnx,model.onnx,1.5,0.75,1.0,4.3e-06,{'0' * 64}\n",
    )
    write(
        "results/export/int8_attempts.csv",
        "calibration,excluded_layers,val_accuracy,val_accuracy_drop,megabytes,published\n"
        "minmax,,0.5,0.4,0.4,False\nentropy,conv1 conv2,0.9,0.0,0.5,True\n",
    )
    write("models/export/model.onnx", b"onnx")
    write("models/export/decision.json", Path("models/decision.json").read_bytes())
    np.save("results/train/augmentations.npy", np.zeros((16, 8, 8, 3), np.uint8))


def write(path: str, content: str | bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())


class Page(HTMLParser):
    """The elements of a page in their order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@contextmanager
def opened_below(folder: Path) -> Iterator[set[str]]:
    """The files below `folder` that are opened to be read inside, by their paths in it."""
    seen: set[str] = set()
    watching = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and watching and isinstance(arguments[0], str | Path):
            path = Path(arguments[0]).absolute()
            if path.is_relative_to(folder) and path.is_file() and arguments[1] in ("r", "rb"):
                seen.add(path.relative_to(folder).as_posix())

    # A hook cannot be taken away again.
    sys.addaudithook(watch)
    yield seen
    watching.clear()
