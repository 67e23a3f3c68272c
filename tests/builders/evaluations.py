"""Reading what the evaluate stage has written in the current folder."""

from pathlib import Path

import pandas as pd

from classifier.processing.decision import Decision

RESULTS = Path("results/evaluate")


def read_csv(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / name, dtype={"actual": str, "predicted": str, "class": str})


def measures() -> pd.DataFrame:
    return pd.read_csv(RESULTS / "measures.csv", index_col="measure")


def decision() -> Decision:
    return Decision.model_validate_json(Path("models/decision.json").read_bytes())
