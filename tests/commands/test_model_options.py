from pathlib import Path
from types import ModuleType

import pytest

from classifier.commands import predict, serve
from classifier.core.errors import UserError


@pytest.mark.parametrize("threshold", ["nan", "-0.1", "1.1"])
@pytest.mark.parametrize("command", [predict, serve])
def test_threshold_that_is_no_probability_is_refused(
    command: ModuleType, threshold: str, tmp_path: Path
) -> None:
    options = ["--models", str(tmp_path), "--reject", threshold]
    with pytest.raises(UserError, match="is not between 0 and 1"):
        command.main([*options, "a.png"] if command is predict else options)
