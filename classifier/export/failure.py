"""Why a model cannot be written in a format, in words."""


def why_not_written(error: Exception) -> str:
    """Return what an exporter's error says of the model; raise what is not about the model."""
    cause = error.__cause__ or error  # PyTorch's exporter wraps what it met
    if isinstance(cause, OSError | MemoryError):
        raise cause from None
    said = (str(cause).strip() or "no reason given").splitlines()[0]
    return f"{type(cause).__name__}: {said}"
