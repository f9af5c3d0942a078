"""Validation of the options of the volume driver ``local``."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from palan.api.errors import InvalidParameter
from palan.engine.sizes import parse_size


__all__ = ["check_options"]

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("device",),
    "device": ("type",),
    "o": ("device", "type"),
    "size": (),
}
"""Every option, and the options that it requires."""


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Check the options of a volume that is to be created.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    for option in options:
        if option not in _NEEDS:
            raise InvalidParameter(f'create {name}: invalid option: "{option}"')
    if options.get("type") == "cifs":
        _check_cifs(name, options.get("device", ""))
    if "size" in options:
        _check_size(name, options["size"])
    for option in options:
        for needed in _NEEDS[option]:
            if needed not in options:
                raise InvalidParameter(f'create {name}: missing required option: "{needed}"')
            if not options[needed]:
                raise InvalidParameter(f"create {name}: missing {needed} in volume options")
    if any("\0" in value for value in options.values()):
        raise InvalidParameter(f"create {name}: an option contains a NUL character")


def _check_size(name: str, text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise InvalidParameter(f"create {name}: {error}") from None
    if size:
        # A quota needs a file system with project quotas, mounted with them.
        raise InvalidParameter(
            f"create {name}: quota size requested but no quota support; a volume of type tmpfs"
            " has its size in o=size="
        )


def _check_cifs(name: str, device: str) -> None:
    try:
        port = urlsplit(device).port
    except ValueError as error:
        raise InvalidParameter(f"create {name}: error parsing mount device url: {error}") from None
    if port is not None:
        raise InvalidParameter(
            f"create {name}: port not allowed in CIFS device URL, include 'port' in 'o='"
        )
