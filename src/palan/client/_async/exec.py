"""Exec."""

from palan.client._async.calls.exec import AsyncExecCalls


__all__ = ["AsyncExec"]


class AsyncExec(AsyncExecCalls):
    """Exec."""
