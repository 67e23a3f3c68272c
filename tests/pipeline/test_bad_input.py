"""Each case of docs/bad-input.md: status 1, the sentence that stands there, nothing written."""

import ast
import importlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from builders.bad import archives, classes, models, sources
from builders.tiny import contents

from classifier.core.processes import run_program

CASES = sources.CASES | archives.CASES | classes.CASES | models.CASES
DOCUMENT = Path(__file__).parents[2] / "docs/bad-input.md"


def documented() -> dict[str, str]:
    """The sentence of each case; `…` stands for what differs from one machine to the other."""
    cases = DOCUMENT.read_text("utf-8").partition("## What is accepted")[0]
    return dict(re.findall(r"^\| (.+?) \| error: (.+) \|$", cases, re.M))


def test_document_names_the_cases_that_are_tested() -> None:
    assert sorted(documented()) == sorted(CASES)


def literals() -> Iterator[str]:
    """Yield the texts in the code of the library; `…` stands for what is put in."""
    for path in (DOCUMENT.parents[1] / "classifier").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", "") for part in node.values)
                yield "".join(part if isinstance(part, str) else "…" for part in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_further_sentences_of_the_document_stand_in_the_code() -> None:
    section = DOCUMENT.read_text("utf-8").partition("## More messages")[2].partition("\n## ")[0]
    quoted = re.findall(r"^\| (?!what |---).+? \| (.+) \|$", section, re.MULTILINE)
    assert len(quoted) == section.count("\n| ") - 2 * section.count("\n### ")
    assert sorted(set(quoted) - set(literals())) == []


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_documented_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    stage = importlib.import_module(f"stages.{CASES[name].stage}")
    with ExitStack() as stack:
        CASES[name].prepare(stack)
        before = contents(tmp_path)
        with pytest.raises(SystemExit) as caught:
            run_program(stage.main)
    # Python prints a text as exit code on standard error and ends with status 1.
    said = str(caught.value.code).replace(str(tmp_path), "…")
    assert said.startswith("error: ")
    assert "\n" not in said
    parts = [re.escape(part) for part in documented().get(name, "").split("…")]
    assert re.fullmatch(f"error: {'.+'.join(parts)}", said), said
    assert contents(tmp_path) == before
