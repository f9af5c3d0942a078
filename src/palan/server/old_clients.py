"""Clients that speak the engine's newest version without knowing what changed in it.

Compose 1 asks ``GET /version`` and then speaks whatever the engine does; from 1.45 on it misses
a field of images and fails when it makes a container anew (``KeyError: 'ContainerConfig'``),
with dockerd as well.  It is told of the version that it was made for.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from palan.api.system import SystemVersion
from palan.api.version import Version


__all__ = ["as_known_to"]

_NEWEST_KNOWN: Final = ((re.compile(r"docker-compose/1\."), Version(1, 41)),)


def as_known_to(headers: Mapping[str, str], answer: Any) -> Any:
    """An answer that tells no client of a version which it only believes to speak.

    Args:
        headers: of the request, by names in lower case.
        answer: of any endpoint; only that of ``GET /version`` is changed.
    """
    if not isinstance(answer, SystemVersion):
        return answer
    agent = headers.get("user-agent", "")
    for pattern, newest in _NEWEST_KNOWN:
        if pattern.match(agent) and Version.parse(answer.api_version) > newest:
            return msgspec.structs.replace(answer, api_version=str(newest))
    return answer
