"""Programs that stand in for others, and note how they were called."""

from pathlib import Path


def write_program(folder: Path, name: str, more: str = "") -> None:
    """Write a program that appends its name and arguments to the file that CALLS names.

    more: lines of shell that it runs then.
    """
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >> "$CALLS"\n{more}\n', "utf-8")
    path.chmod(0o755)
