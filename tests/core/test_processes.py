import subprocess
import sys
from pathlib import Path

import pytest

from classifier.core.processes import worker_count

ROOT = Path(__file__).parents[2]


def test_number_of_workers_follows_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert worker_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert worker_count() >= 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere_in_a_program_and_in_those_that_it_starts(
    closed: str, tmp_path: Path
) -> None:
    program = """if True:
        import subprocess, sys
        from classifier.core.processes import run_program

        def main():
            for stream in (sys.stdout, sys.stderr):
                stream.write("lost")
            with open(sys.argv[1], "w") as file:
                assert file.fileno() > 2
                subprocess.run(["sh", "-c", "cat; echo lost; echo lost >&2"], check=True)
                file.write("whole")

        run_program(main)
    """
    written = tmp_path / "file"
    command = [sys.executable, "-c", program, str(written)]
    run = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    subprocess.run(run, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    assert written.read_text() == "whole"
