"""Define errors that a program prints as one sentence, without a traceback."""

import errno


class UserError(ValueError):
    """An error that the user can fix; the message says what to do."""


class StoppedError(UserError):
    """The work was stopped from outside; the same command continues it."""


def describe_os_error(error: OSError) -> str:
    """Return the system's message with the file, as in `No space left on device: data/a.zip`."""
    reason = error.strerror or str(error) or type(error).__name__
    said = f"{reason}: {error.filename}" if error.filename else reason
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{said}; the disk is full: free some space, and run the same command again."
    return said


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
