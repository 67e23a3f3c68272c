import os
import subprocess
import sys
from pathlib import Path

import pytest

from classifier.core.code import ROOT

STYLE = "lines.linewidth: 9\naxes.facecolor: red\nfont.size: 30\nsavefig.dpi: 20\n"
PROGRAM = """
import sys
from pathlib import Path
from classifier.plotting.figures import new_figure, write_png
figure = new_figure(2, 1)
figure.subplots().plot([1, 2, 3], label="a line")
write_png(figure, Path(sys.argv[1]))
"""


def drawn(path: Path, **variables: str) -> bytes:
    """The chart that a program draws with these environment variables, in the folder of `path`."""
    path.parent.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        check=True,
    )
    return path.read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return drawn(tmp_path_factory.mktemp("plain") / "chart.png")


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "svg", "nonsense"]
)
def test_a_notebooks_backend_changes_no_chart(tmp_path: Path, plain: bytes, backend: str) -> None:
    assert drawn(tmp_path / "chart.png", MPLBACKEND=backend) == plain


def test_a_style_of_the_user_changes_no_chart(tmp_path: Path, plain: bytes) -> None:
    (tmp_path / "matplotlibrc").write_text(STYLE, "utf-8")
    assert drawn(tmp_path / "chart.png") == plain
    named = drawn(tmp_path / "other/chart.png", MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    assert named == plain
