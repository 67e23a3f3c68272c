"""What importing the package sets for libraries that are imported after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("given", "kept"), [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5")])
def test_threads_wait_briefly_unless_the_user_says_otherwise(
    given: dict[str, str], kept: str
) -> None:
    program = "import os, classifier; print(os.environ['GOMP_SPINCOUNT'])"
    others = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    said = subprocess.check_output(
        [sys.executable, "-c", program], env=others | given, cwd=ROOT, text=True
    )
    assert said.strip() == kept


def test_garbage_is_looked_for_less_often() -> None:
    program = "import gc, classifier; print(gc.isenabled(), gc.get_threshold()[0])"
    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    assert said.split() == ["True", "10000"]
