"""Work that must be done even if the caller is cancelled; blocking callers cannot be."""

from collections.abc import Callable
from typing import Any, TypeVar


__all__ = ["shielded", "undo_if_cancelled"]

T = TypeVar("T")


def shielded(work: Callable[..., None], *arguments: Any) -> None:
    """Do work to its end."""
    work(*arguments)


def undo_if_cancelled(work: Callable[..., T], undo: Callable[[T], None], **arguments: Any) -> T:
    """Do work, and return its result."""
    del undo
    return work(**arguments)
