"""Import torchvision and timm without PyTorch's compiler, which comes when something needs it.

As they are imported, torchvision 0.29 and timm 1.0 take two functions of `torch._dynamo`, and its
import takes 1.1 of their 1.5 seconds (benchmarks/time.md). Functions stand in for these two that
import the compiler when they are called, as PyTorch's own `_disable_dynamo` does.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch._compile import _disable_dynamo

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


class _StandIn(ModuleType):
    """A module that makes way for the real one as soon as anything else is asked of it."""

    def __getattr__(self, name: str) -> Any:
        # `inspect` asks every module for its file, and `from` asks whether a module is a package.
        if name == "__file__" or (name == "__path__" and self.__name__ == _UTILS):
            raise AttributeError(name)
        _make_way()
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def deferred_compiler() -> Iterator[None]:
    """Keep imports from importing the compiler, unless they need more of it than to name it."""
    if _COMPILER not in sys.modules:
        compiler, utils = _StandIn(_COMPILER), _StandIn(_UTILS)
        vars(compiler).update(disable=_disable, utils=utils)
        vars(utils).update(is_compile_supported=_is_compile_supported)
        sys.modules.update({_COMPILER: compiler, _UTILS: utils})
    try:
        yield
    finally:
        _make_way()


def _make_way() -> None:
    for name in (_COMPILER, _UTILS):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


def _disable(
    function: Callable[..., Any] | None = None, recursive: bool = True, **_reason: Any
) -> Any:
    """Keep a function from being compiled, as `torch.compiler.disable` does."""
    return _disable_dynamo(function, recursive)


def _is_compile_supported(device_type: str) -> bool:
    """Return whether functions can be compiled for devices of this type."""
    return importlib.import_module(_UTILS).is_compile_supported(device_type)
