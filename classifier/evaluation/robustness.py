"""Test accuracy under adversarial attacks.

Each value of a test image, 0 to 255, may be changed by at most the strength of the attack. Two
attacks know the network: FGSM takes one step, PGD ten from a random start (see
`classifier.training.adversarial`).
"""

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from classifier.core.random import stream
from classifier.core.text import counted
from classifier.data.dataset import Dataset
from classifier.models.bundle import Bundle
from classifier.models.devices import explain_missing_kernel
from classifier.plotting.agg import Figure
from classifier.plotting.figures import BLUE, ORANGE, new_figure
from classifier.processing.images import center_crop
from classifier.training.adversarial import attack

STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# Steps of each attack; more than one start at random.
ATTACKS = {"FGSM": 1, "PGD": 10}
# More test images than this are represented by as many of them.
MOST_IMAGES = 1000
_BATCH = 32
_WITHOUT_KERNEL = "set CUDA_VISIBLE_DEVICES to nothing, to measure on the processor"


def measure_robustness(bundle: Bundle, dataset: Dataset) -> pd.DataFrame:
    """Return the accuracy under each attack: columns `attack, strength, accuracy, images`.

    Strength 0 is the images as they are.

    Args:
        bundle: the trained model.
        dataset: the data set that it belongs to (`load_trained`).
    """
    rows = dataset.rows("test")
    rows = rows[:: -(-len(rows) // MOST_IMAGES)]
    cases = [(name, strength) for name in ATTACKS for strength in (0.0, *STRENGTHS)]
    right = dict.fromkeys(cases, 0)
    device = bundle.model.mean.device
    for start in tqdm(range(0, len(rows), _BATCH), "robustness", leave=False, disable=None):
        chosen = rows[start : start + _BATCH]
        stored = np.array(center_crop(dataset.images[chosen], bundle.spec.input_size))
        images = torch.from_numpy(stored).to(device).float()
        targets = torch.from_numpy(dataset.labels[chosen]).to(device)
        draws = stream("robustness", start).uniform(-1, 1, stored.shape).astype(np.float32)
        noise = torch.from_numpy(draws).to(device)
        for name, strength in cases:
            moved = images
            if strength:
                steps = ATTACKS[name]
                with explain_missing_kernel(_WITHOUT_KERNEL):
                    moved = attack(
                        bundle.model,
                        images,
                        targets,
                        strength=strength,
                        steps=steps,
                        start=noise if steps > 1 else None,
                    )
            with torch.no_grad():
                predicted = bundle.model(moved).argmax(dim=1)
            right[name, strength] += int((predicted == targets).sum())
    table = [(*case, hits / len(rows), len(rows)) for case, hits in right.items()]
    return pd.DataFrame(table, columns=["attack", "strength", "accuracy", "images"])


def draw_robustness(table: pd.DataFrame) -> Figure:
    """Draw the accuracy by strength, a line for each attack."""
    figure = new_figure(6, 3.8)
    axes = figure.subplots()
    for (name, part), colour in zip(table.groupby("attack"), (BLUE, ORANGE), strict=True):
        axes.plot(part["strength"], part["accuracy"], "o-", color=colour, label=name)
    axes.set_xlabel("largest change of a value, of 255")
    axes.set_ylabel(f"accuracy on {counted(int(table['images'].iloc[0]), 'test image')}")
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
