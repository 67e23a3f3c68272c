from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifier.training.run_reporter import write_history

HISTORY: list[dict[str, float]] = [
    {
        "epoch": epoch,
        "lr": 1e-9 / epoch,
        "train_loss": 2 / epoch,
        "train_accuracy": 1 - 0.5 / epoch,
        "val_loss": 3 / epoch,
        "val_accuracy": 1 - 0.6 / epoch,
    }
    for epoch in (1, 2, 3)
]


def test_history_file_has_a_line_for_each_epoch(tmp_path: Path) -> None:
    write_history(HISTORY, tmp_path / "history.csv")
    table = pd.read_csv(tmp_path / "history.csv")
    assert table.columns.to_list() == list(HISTORY[0])
    assert table["epoch"].to_list() == [1, 2, 3]
    assert table["epoch"].dtype == np.int64
    assert table["val_loss"].to_list() == [3, 1.5, 1]
    assert table["train_accuracy"][2] == 0.833333
    assert table["lr"][2] == pytest.approx(1e-9 / 3)
