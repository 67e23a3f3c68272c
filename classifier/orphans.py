"""Notice that the process which started this one has ended, so that no work goes on unwatched."""

import os
import threading
import time
from collections.abc import Callable

_PAUSE = 0.5  # seconds between two looks


def when_orphaned(do: Callable[[], None]) -> None:
    """Call `do`, in a thread, once the process that started this one is no more."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PAUSE)
        do()

    threading.Thread(target=watch, daemon=True).start()
