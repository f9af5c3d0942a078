"""The Python client: every endpoint of the Docker Engine API, typed, blocking and async.

:class:`Client` and :class:`AsyncClient` are generated from one source (``_async``); the code
that they share and that does no I/O lies beside it. See ``docs/client.md``.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from palan.client import errors as errors
    from palan.client._async.client import AsyncClient as AsyncClient
    from palan.client._async.exec import AsyncExecSession as AsyncExecSession
    from palan.client._async.io import AsyncBody as AsyncBody
    from palan.client._async.response import AsyncResponse as AsyncResponse
    from palan.client._async.streams import AsyncByteStream as AsyncByteStream
    from palan.client._async.streams import AsyncMessageStream as AsyncMessageStream
    from palan.client._async.streams import AsyncOutputStream as AsyncOutputStream
    from palan.client._async.streams import AsyncProgressStream as AsyncProgressStream
    from palan.client._async.streams import AsyncSession as AsyncSession
    from palan.client._async.websocket import AsyncWebSocketSession as AsyncWebSocketSession
    from palan.client._build_options import BuildOptions as BuildOptions
    from palan.client._frames import Output as Output
    from palan.client._limits import Limit as Limit
    from palan.client._outcomes import BuiltImage as BuiltImage
    from palan.client._outcomes import ExecResult as ExecResult
    from palan.client._outcomes import RunResult as RunResult
    from palan.client._request import Filter as Filter
    from palan.client._request import Filters as Filters
    from palan.client._run_options import Command as Command
    from palan.client._run_options import Environment as Environment
    from palan.client._run_options import Ports as Ports
    from palan.client._run_options import RunOptions as RunOptions
    from palan.client._sync.client import Client as Client
    from palan.client._sync.exec import ExecSession as ExecSession
    from palan.client._sync.io import Body as Body
    from palan.client._sync.response import Response as Response
    from palan.client._sync.streams import ByteStream as ByteStream
    from palan.client._sync.streams import MessageStream as MessageStream
    from palan.client._sync.streams import OutputStream as OutputStream
    from palan.client._sync.streams import ProgressStream as ProgressStream
    from palan.client._sync.streams import Session as Session
    from palan.client._sync.websocket import WebSocketSession as WebSocketSession

__all__ = [
    "AsyncBody",
    "AsyncByteStream",
    "AsyncClient",
    "AsyncExecSession",
    "AsyncMessageStream",
    "AsyncOutputStream",
    "AsyncProgressStream",
    "AsyncResponse",
    "AsyncSession",
    "AsyncWebSocketSession",
    "Body",
    "BuildOptions",
    "BuiltImage",
    "ByteStream",
    "Client",
    "Command",
    "Environment",
    "ExecResult",
    "ExecSession",
    "Filter",
    "Filters",
    "Limit",
    "MessageStream",
    "Output",
    "OutputStream",
    "Ports",
    "ProgressStream",
    "Response",
    "RunOptions",
    "RunResult",
    "Session",
    "WebSocketSession",
    "errors",
]

_MODULES = {
    "AsyncBody": "palan.client._async.io",
    "AsyncByteStream": "palan.client._async.streams",
    "AsyncClient": "palan.client._async.client",
    "AsyncExecSession": "palan.client._async.exec",
    "AsyncMessageStream": "palan.client._async.streams",
    "AsyncOutputStream": "palan.client._async.streams",
    "AsyncProgressStream": "palan.client._async.streams",
    "AsyncResponse": "palan.client._async.response",
    "AsyncSession": "palan.client._async.streams",
    "AsyncWebSocketSession": "palan.client._async.websocket",
    "Body": "palan.client._sync.io",
    "BuildOptions": "palan.client._build_options",
    "BuiltImage": "palan.client._outcomes",
    "ByteStream": "palan.client._sync.streams",
    "Client": "palan.client._sync.client",
    "Command": "palan.client._run_options",
    "Environment": "palan.client._run_options",
    "ExecResult": "palan.client._outcomes",
    "ExecSession": "palan.client._sync.exec",
    "Filter": "palan.client._request",
    "Filters": "palan.client._request",
    "Limit": "palan.client._limits",
    "MessageStream": "palan.client._sync.streams",
    "Output": "palan.client._frames",
    "OutputStream": "palan.client._sync.streams",
    "Ports": "palan.client._run_options",
    "ProgressStream": "palan.client._sync.streams",
    "Response": "palan.client._sync.response",
    "RunOptions": "palan.client._run_options",
    "RunResult": "palan.client._outcomes",
    "Session": "palan.client._sync.streams",
    "WebSocketSession": "palan.client._sync.websocket",
}


def __getattr__(name: str) -> Any:
    # Imported on demand: a blocking program needs no asyncio, and an async one no blocking half.
    from importlib import import_module

    if name == "errors":
        return import_module("palan.client.errors")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
