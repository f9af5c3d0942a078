"""Old clients that use the engine's newest API version without supporting it.

Compose 1 uses the version that ``GET /version`` returns. Since 1.45 images lack a field that
it needs to recreate a container (``KeyError: 'ContainerConfig'``), with dockerd as well. So
Compose 1 gets the version that it was made for.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from palan.api.system import SystemVersion
from palan.api.version import Version


__all__ = ["limit_version"]

_NEWEST_KNOWN: Final = ((re.compile(r"docker-compose/1\."), Version(1, 41)),)


def limit_version(headers: Mapping[str, str], answer: Any) -> Any:
    """Lower the API version in an answer to an old client.

    Args:
        headers: the request's headers by lower-case names.
        answer: the answer of any endpoint; only that of ``GET /version`` is changed.
    """
    if not isinstance(answer, SystemVersion):
        return answer
    agent = headers.get("user-agent", "")
    for pattern, newest in _NEWEST_KNOWN:
        if pattern.match(agent) and Version.parse(answer.api_version) > newest:
            return msgspec.structs.replace(answer, api_version=str(newest))
    return answer
