"""The contract: every endpoint and message of the Docker Engine API, and no I/O at all.

One module per group declares its endpoints and messages; beside them stand the
things the groups share: errors, filters, raw-stream frames, versions and what
changed between them.
"""

from palan.api._base import UNSET, Message, Request, Unset
from palan.api.endpoint import Endpoint, Group, Header
from palan.api.filters import Filters
from palan.api.version import MAX_VERSION, MIN_VERSION, Version


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
