"""Binds that contain directories of the engine, or are inside of them.

A private copy of the engine's mounts would keep them busy as long as the container runs, so
unmounts have to propagate to it, as with dockerd.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.containers.validate_mounts import MountRequest


__all__ = ["with_propagation"]

_PROPAGATING: Final = ("rslave", "rshared")


def with_propagation(request: MountRequest, roots: Iterable[Path]) -> MountRequest:
    """Return a mount with the propagation that it needs.

    Args:
        request: the mount.
        roots: the directories of the engine, the data root first.

    Raises:
        InvalidParameter: the client asked for another one; in dockerd's words.
    """
    if request.kind != "bind":
        return request
    source = Path(request.source)
    for root in roots:
        if not (source.is_relative_to(root) or root.is_relative_to(source)):
            continue
        if not request.propagation_asked:
            return replace(request, propagation="rslave")
        if request.propagation not in _PROPAGATING:
            raise InvalidParameter(
                'invalid mount config: must use either propagation mode "rslave" or "rshared" when'
                f' mount source is within the daemon root, daemon root: "{root}",'
                f' bind mount source: "{request.source}", propagation: "{request.propagation}"'
            )
    return request
