from pathlib import Path

import pytest

from classifier.errors import UserError, describe_os_error, run_program


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


def test_os_error_becomes_the_systems_words_and_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SystemExit) as caught:
        run_program(lambda: print(missing.read_text()))
    assert caught.value.code == f"error: No such file or directory: {missing}"


def test_ctrl_c_becomes_one_sentence() -> None:
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="stopped by the keyboard; run the same command again"):
        run_program(main)


def test_our_own_fault_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_program(main)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("the disk is gone"), "the disk is gone"),
        (OSError(), "OSError"),
    ],
)
def test_os_error_without_a_file_is_described(error: OSError, sentence: str) -> None:
    assert describe_os_error(error) == sentence
