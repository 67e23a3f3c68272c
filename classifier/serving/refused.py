"""The error that becomes an answer with a status and a reason."""


class RefusedError(Exception):
    """A request that is refused with a status and a sentence that says why."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        """Keep the response; `Retry_After="1"` becomes the header `Retry-After: 1`."""
        super().__init__(reason)
        self.status, self.reason = status, reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
