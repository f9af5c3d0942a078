"""The Python client: every endpoint of the Docker Engine API, typed, blocking and async.

:class:`Client` and :class:`AsyncClient` are made of one source (``_async``); what they share
and what does no I/O lies beside it. See ``docs/client.md``.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from palan.client._async.client import AsyncClient as AsyncClient
    from palan.client._async.response import AsyncResponse as AsyncResponse
    from palan.client._frames import Output as Output
    from palan.client._sync.client import Client as Client
    from palan.client._sync.response import Response as Response

__all__ = ["AsyncClient", "AsyncResponse", "Client", "Output", "Response"]

_HOME = {
    "AsyncClient": "palan.client._async.client",
    "AsyncResponse": "palan.client._async.response",
    "Client": "palan.client._sync.client",
    "Output": "palan.client._frames",
    "Response": "palan.client._sync.response",
}


def __getattr__(name: str) -> Any:
    # A blocking program does not import asyncio, and an async one not the blocking half.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
