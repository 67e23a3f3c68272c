"""What importing the package sets for libraries that are imported after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("given", [None, "5"])
@pytest.mark.parametrize(
    ("variable", "otherwise"), [("GOMP_SPINCOUNT", "1000"), ("OPENBLAS_NUM_THREADS", "1")]
)
def test_threads_cost_little_unless_the_user_says_otherwise(
    variable: str, otherwise: str, given: str | None
) -> None:
    program = f"import os, classifier; print(os.environ[{variable!r}])"
    said = run(program, variable, given)
    assert said == (given or otherwise)


def test_matrices_are_multiplied_in_one_thread_so_that_cores_do_not_change_the_last_bits() -> None:
    program = """if True:
        import classifier, scipy.linalg, threadpoolctl
        pools = threadpoolctl.threadpool_info()
        print({pool["num_threads"] for pool in pools if pool["internal_api"] == "openblas"})
    """
    assert run(program, "OPENBLAS_NUM_THREADS", None) in ("{1}", "set()")


def run(program: str, variable: str, given: str | None) -> str:
    """Return what a program prints with this value of a variable alone."""
    names = {variable, "OMP_NUM_THREADS"}
    others = {name: value for name, value in os.environ.items() if name not in names}
    changed = {} if given is None else {variable: given}
    command = [sys.executable, "-c", program]
    return subprocess.check_output(command, env=others | changed, cwd=ROOT, text=True).strip()


def test_garbage_is_looked_for_less_often() -> None:
    program = "import gc, classifier; print(gc.isenabled(), gc.get_threshold()[0])"
    said = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)
    assert said.split() == ["True", "10000"]
