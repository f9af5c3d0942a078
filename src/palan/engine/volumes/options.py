"""Options of the volume driver ``local``: what of them makes no sense."""

from collections.abc import Mapping
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.sizes import parse_size


__all__ = ["check_options"]

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("device",),
    "device": ("type",),
    "o": ("device", "type"),
    "size": (),
}
"""Every option, and those that it makes no sense without."""


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Check the options of a volume that is to be made.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    for option in options:
        if option not in _NEEDS:
            raise InvalidParameter(f'create {name}: invalid option: "{option}"')
    for option in options:
        for needed in _NEEDS[option]:
            if needed not in options:
                raise InvalidParameter(f'create {name}: missing required option: "{needed}"')
    if "size" in options:
        try:
            parse_size(options["size"])
        except ValueError as error:
            raise InvalidParameter(f"create {name}: {error}") from None
