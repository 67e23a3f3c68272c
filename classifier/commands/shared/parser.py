"""The parser of every command's arguments: wrong ones are one sentence, and exit status 1."""

import argparse
import os
import sys
from typing import NoReturn

from classifier.core.errors import UserError


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are user errors."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError with the message, and how to name a file that begins with a dash."""
        dashed = [name for name in sys.argv[1:] if name.startswith("-") and os.path.lexists(name)]
        hint = f"for the file {dashed[0]} write ./{dashed[0]}; " if dashed else ""
        raise UserError(f"{message}: {hint}`{self.prog} --help` describes the options.")
