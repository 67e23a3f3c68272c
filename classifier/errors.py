"""What a user did wrong, said in one sentence instead of a traceback."""

import sys
from collections.abc import Callable
from typing import NoReturn


class UserError(ValueError):
    """Something that the user can mend; the message says what to do."""


def describe_os_error(error: OSError) -> str:
    """The system's own words about a file, such as `No space left on device: data/raw/a.zip`."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {error.filename}" if error.filename else reason


def run_program(main: Callable[[], None]) -> NoReturn:
    """Call `main` and end the process: status 0, or 1 and a sentence on standard error.

    Only a `UserError`, an `OSError` and Ctrl-C become a sentence; anything else is our fault and
    keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {describe_os_error(error)}")
    except KeyboardInterrupt:
        sys.exit("error: stopped by the keyboard; run the same command again.")
    sys.exit(0)
