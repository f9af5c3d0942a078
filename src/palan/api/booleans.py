"""The words for true and false that Go's ``strconv.ParseBool`` accepts."""

from collections.abc import Mapping
from typing import Final


__all__ = ["BOOLEANS"]

BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
