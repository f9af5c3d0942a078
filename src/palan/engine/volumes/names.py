"""Validation of volume names."""

import re
from typing import Final

from palan.api.errors import InvalidParameter


__all__ = ["NAME", "check_name"]

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_LONGEST: Final = 255
"""The longest file name, in bytes."""


def check_name(name: str) -> None:
    """Check the name of a volume of the driver ``local``, which is also a directory's name.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if len(name) < 2:
        raise InvalidParameter(
            f"create {name}: volume name is too short, names should be at least two"
            " alphanumeric characters"
        )
    if len(name) > _LONGEST:
        raise InvalidParameter(
            f"create {name}: volume name is too long, names should be at most {_LONGEST} characters"
        )
    if not NAME.fullmatch(name):
        raise InvalidParameter(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host'
            " directory, use absolute path"
        )
