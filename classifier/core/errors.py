"""What a user did wrong, said in one sentence instead of a traceback."""

import errno


class UserError(ValueError):
    """Something that the user can mend; the message says what to do."""


class StoppedError(UserError):
    """The work was stopped from outside; the same command goes on with it."""


def describe_os_error(error: OSError) -> str:
    """The system's own words about a file, such as `No space left on device: data/raw/a.zip`."""
    reason = error.strerror or str(error) or type(error).__name__
    said = f"{reason}: {error.filename}" if error.filename else reason
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{said}; the disk is full: free some space, and run the same command again."
    return said
