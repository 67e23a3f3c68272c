"""A project with all that the report stage reads and writes."""

from pathlib import Path

import pytest
import yaml

from builders.projects import EVALUATE, TTA, make_project
from builders.reports import write, write_the_rest
from builders.splits import LIMITS
from builders.tiny import tiny_result
from classifier.data.dataset import load_dataset
from classifier.sources.tables import FILES, SeenFile, write_files
from classifier.splitting.files_account import write_account
from classifier.splitting.params import CheckParams
from classifier.splitting.results import write_results
from stages import evaluate, report, tta_evaluate

CLASSES = ["<script>ape</script>", "bée | *co*", "`Cat`"]
PAGE, CARD = Path("results/report.html"), Path("models/MODEL_CARD.md")
# Files that name the model that they are of, and the stage that writes each.
OF_THE_MODEL = {
    "models/decision.json": "evaluate",
    "models/tta.json": "tta_evaluate",
    "models/export/decision.json": "export",
    "models/export/tta.json": "export",
}


def make_reported(folder: Path) -> str:
    """Run the stages that measure in `folder`, then the report; return the verdict on TTA."""
    make_project(folder, CLASSES, per_class=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CLASSIFIER_CACHE", str(folder / "cache"))
        sections = {"evaluate": EVALUATE | {"reject_below": 0.5}, "tta_evaluate": TTA}
        Path("params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
        problems = [("a|b/<i>.png", "it is damaged & cut short")]
        dataset = load_dataset(Path("data/split"))
        result = tiny_result(len(dataset.images), problems)
        limits = CheckParams.model_validate(LIMITS)
        write_results(Path("results/split"), dataset, result, limits)
        seen = [SeenFile(path, 1, "image") for path in dataset.manifest["path"]]
        write_files(folder / FILES, [*seen, SeenFile("~.txt", 1, "no image")])
        write_account(Path("results/split/files.csv"), folder, dataset, result)
        evaluate.main()
        write_the_rest(folder)
        said: list[str] = []
        patch.setattr(tta_evaluate, "print", said.append, raising=False)
        tta_evaluate.main()
        write("models/export/tta.json", Path("models/tta.json").read_bytes())
        report.main()
    lines = [line for text in said for line in text.splitlines()]
    return next(line for line in lines if line.startswith("Test-time"))
