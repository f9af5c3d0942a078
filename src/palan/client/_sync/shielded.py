"""What must be done even while the caller is being cancelled; here, nobody is."""

from collections.abc import Callable
from typing import Any, TypeVar


__all__ = ["shielded", "undone"]

T = TypeVar("T")


def shielded(work: Callable[..., None], *arguments: Any) -> None:
    """See work through."""
    work(*arguments)


def undone(work: Callable[..., T], undo: Callable[[T], None], **arguments: Any) -> T:
    """Do work."""
    del undo
    return work(**arguments)
