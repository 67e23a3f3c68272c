import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from builders.processes import has_ended, wait_for_end

from classifier.core.errors import UserError, describe_os_error, first_line
from classifier.core.files import replacing
from classifier.core.processes import run_program


def test_success_ends_with_status_0() -> None:
    with pytest.raises(SystemExit) as caught:
        run_program(lambda: None)
    assert caught.value.code == 0


def test_user_error_becomes_one_sentence() -> None:
    def main() -> None:
        raise UserError("train.epochs is 0.")

    with pytest.raises(SystemExit) as caught:
        run_program(main)
    # Python prints a text as code on standard error and ends with status 1.
    assert caught.value.code == "error: train.epochs is 0."


@pytest.mark.parametrize("error", [UserError, OSError])
def test_control_characters_in_an_error_are_escaped(error: type[Exception]) -> None:
    def main() -> None:
        raise error("no file a\0b\x1b[2J\nc.png.")

    with pytest.raises(SystemExit) as caught:
        run_program(main)
    assert caught.value.code == r"error: no file a\x00b\x1b[2J\nc.png."


def test_os_error_becomes_the_systems_words_and_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SystemExit) as caught:
        run_program(lambda: print(missing.read_text()))
    assert caught.value.code == f"error: No such file or directory: {missing}"


def test_end_of_the_reader_of_a_pipe_needs_no_sentence() -> None:
    program = "from classifier.core.processes import run_program\n"
    program += "run_program(lambda: [print('a long line' * 10) for _ in range(10_000)])"
    printing = [sys.executable, "-c", program]
    with subprocess.Popen(printing, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_program_whose_output_is_closed_succeeds() -> None:
    program = "from classifier.core.processes import run_program\nrun_program(lambda: print('a'))"
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "$0" >&-', program], check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_name_that_the_locale_cannot_write_is_printed_with_escapes() -> None:
    program = "from classifier.core.processes import run_program\n"
    program += r"run_program(lambda: print('\xe9 \u732b'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, b"\xe9 \\u732b")


def test_broken_connection_is_told() -> None:
    def main() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(SystemExit, match="Broken pipe"):
        run_program(main)


def test_ctrl_c_becomes_one_sentence() -> None:
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="stopped by the keyboard; run the same command again"):
        run_program(main)


def test_sigterm_becomes_one_sentence_and_files_are_cleaned_up(tmp_path: Path) -> None:
    def main() -> None:
        with replacing(tmp_path / "model") as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="stopped by SIGTERM; run the same command again"):
        run_program(main)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_that_a_library_has_made_an_error_of_its_own_is_told_as_sigterm() -> None:
    def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit as error:
            raise UserError("the network cannot be exported") from error

    with pytest.raises(SystemExit, match="stopped by SIGTERM; run the same command again"):
        run_program(main)


class _Collected:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)  # so that the signal arrives in here


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_that_is_lost_while_garbage_is_collected_is_repeated() -> None:
    def main() -> None:
        garbage = _Collected()
        del garbage
        time.sleep(60)

    with pytest.raises(SystemExit, match="stopped by SIGTERM"):
        run_program(main)


STAGE = """
import time
from classifier.core.processes import run_program

def main():
    print("started", flush=True)
    time.sleep(600)

run_program(main)
"""


@pytest.mark.parametrize(("set_here", "ends"), [({"DVC_STAGE": "train"}, True), ({}, False)])
def test_stage_ends_with_the_dvc_that_runs_it(set_here: dict[str, str], ends: bool) -> None:
    # A parent that starts the program, tells its number, and dies.
    parent = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {STAGE!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    started = subprocess.run(
        [sys.executable, "-c", parent],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | set_here,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    child = psutil.Process(int(started.stdout))
    if ends:
        wait_for_end(child, 60)
        return
    time.sleep(1.5)  # three times the pause between two looks at the parent
    assert not has_ended(child)
    child.kill()


def test_our_own_fault_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_program(main)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(5, "Input/output error"), "Input/output error"),
        (
            OSError(28, "No space left on device", "model.onnx"),
            "No space left on device: model.onnx; the disk is full: free some space, and run the "
            "same command again.",
        ),
        (OSError("the disk is gone"), "the disk is gone"),
        (OSError(), "OSError"),
    ],
)
def test_os_error_is_described(error: OSError, sentence: str) -> None:
    assert describe_os_error(error) == sentence


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("\nbad size\nat node 3"), "bad size"), (RuntimeError(), "RuntimeError")],
)
def test_first_line_of_an_error_is_never_empty(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_error_that_a_library_makes_of_the_signal_is_the_sentence_all_the_same() -> None:
    def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except SystemExit:
            raise AttributeError("half imported") from None

    with pytest.raises(SystemExit) as caught:
        run_program(main)
    assert caught.value.code == "error: stopped by SIGTERM; run the same command again."


ENDING = """
import atexit, threading, time
from classifier.core.processes import ending_at_once, run_program

class Kept:
    def __del__(self):
        print("taken apart")

def wait():
    time.sleep(0.5)
    print("thread ended")

kept = Kept()
kept.itself = kept
atexit.register(lambda: print("registered"))
print("not yet flushed", end=" ")
"""


def ended(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{ENDING}\nwith ending_at_once(): {program}"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("run_program(lambda: None)", "not yet flushed registered\n"),
        (
            "run_program(threading.Thread(target=wait).start)",
            "not yet flushed thread ended\nregistered\ntaken apart\n",
        ),
    ],
)
def test_program_that_succeeds_ends_without_taking_its_objects_apart(
    program: str, printed: str
) -> None:
    done = ended(program)
    assert (done.returncode, done.stdout) == (0, printed)


def test_program_that_fails_ends_with_its_sentence() -> None:
    done = ended("run_program(lambda: open('/no/such/file'))")
    assert (done.returncode, done.stderr) == (
        1,
        "error: No such file or directory: /no/such/file\n",
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_program_whose_output_is_closed_ends_with_status_0(closed: str) -> None:
    program = (
        "from classifier.core.processes import ending_at_once, run_program\n"
        "with ending_at_once(): run_program(lambda: print('told'))"
    )
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program]
    folder = Path(__file__).parents[2]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
