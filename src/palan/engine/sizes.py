"""Sizes in bytes, as Docker's users write them."""

import re
from typing import Final


__all__ = ["parse_size"]

_SIZE: Final = re.compile(
    r"(\d{1,18}(?:\.\d{0,18})?|\.\d{1,18}) ?([kmgtp]?)(i?b)?", re.ASCII | re.IGNORECASE
)


def parse_size(text: str, base: int = 1024) -> int:
    """Return the bytes of a size such as ``10m``, ``1.5G`` or ``512 kb``.

    Args:
        text: the size.
        base: the factor of ``k``: 1024, or 1000 for log files.

    Raises:
        ValueError: it is malformed; in dockerd's words.
    """
    match = _SIZE.fullmatch(text)
    if not match or ((match[3] or "").lower() == "ib" and not match[2]):
        raise ValueError(f"invalid size: '{text}'")
    size = float(match[1]) * base ** " kmgtp".index(match[2].lower() or " ")
    if size >= 2**63:
        raise ValueError(f"invalid size: '{text}'")
    return int(size)
