"""The contract: every endpoint and message of the Docker Engine API, without any I/O.

Each group has a module that declares its endpoints and messages. The other modules contain
what the groups share: annotations, errors, filters, raw-stream frames, API versions and the
changes between them.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from palan.api._base import UNSET as UNSET
    from palan.api._base import Message as Message
    from palan.api._base import Request as Request
    from palan.api._base import Unset as Unset
    from palan.api.annotations import Header as Header
    from palan.api.endpoint import Endpoint as Endpoint
    from palan.api.endpoint import Group as Group
    from palan.api.filters import Filters as Filters
    from palan.api.version import MAX_VERSION as MAX_VERSION
    from palan.api.version import MIN_VERSION as MIN_VERSION
    from palan.api.version import Version as Version

__all__ = [
    "MAX_VERSION",
    "MIN_VERSION",
    "UNSET",
    "Endpoint",
    "Filters",
    "Group",
    "Header",
    "Message",
    "Request",
    "Unset",
    "Version",
]

_HOME = {
    "Endpoint": "palan.api.endpoint",
    "Filters": "palan.api.filters",
    "Group": "palan.api.endpoint",
    "Header": "palan.api.annotations",
    "MAX_VERSION": "palan.api.version",
    "MIN_VERSION": "palan.api.version",
    "Message": "palan.api._base",
    "Request": "palan.api._base",
    "UNSET": "palan.api._base",
    "Unset": "palan.api._base",
    "Version": "palan.api.version",
}


def __getattr__(name: str) -> Any:
    # Imported on demand: a program that only pings an engine needs no messages.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_HOME[name]), name)
