"""The Python client: every endpoint of the Docker Engine API, typed, blocking and async.

:class:`Client` and :class:`AsyncClient` are generated from one source (``_async``); the code
that they share and that does no I/O lies beside it. See ``docs/client.md``.
"""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from palan.client import errors as errors
    from palan.client._async.client import AsyncClient as AsyncClient
    from palan.client._async.response import AsyncResponse as AsyncResponse
    from palan.client._build_options import BuildOptions as BuildOptions
    from palan.client._frames import Output as Output
    from palan.client._outcomes import BuiltImage as BuiltImage
    from palan.client._outcomes import ExecResult as ExecResult
    from palan.client._outcomes import RunResult as RunResult
    from palan.client._run_options import RunOptions as RunOptions
    from palan.client._sync.client import Client as Client
    from palan.client._sync.response import Response as Response

__all__ = [
    "AsyncClient",
    "AsyncResponse",
    "BuildOptions",
    "BuiltImage",
    "Client",
    "ExecResult",
    "Output",
    "Response",
    "RunOptions",
    "RunResult",
]

_MODULES = {
    "AsyncClient": "palan.client._async.client",
    "AsyncResponse": "palan.client._async.response",
    "BuildOptions": "palan.client._build_options",
    "BuiltImage": "palan.client._outcomes",
    "Client": "palan.client._sync.client",
    "ExecResult": "palan.client._outcomes",
    "Output": "palan.client._frames",
    "Response": "palan.client._sync.response",
    "RunOptions": "palan.client._run_options",
    "RunResult": "palan.client._outcomes",
}


def __getattr__(name: str) -> Any:
    # Imported on demand: a blocking program needs no asyncio, and an async one no blocking half.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
