"""What must be done even while the caller is being cancelled; here, nobody is."""

from collections.abc import Callable
from typing import Any


__all__ = ["shielded"]


def shielded(work: Callable[..., None], *arguments: Any) -> None:
    """See work through."""
    work(*arguments)
