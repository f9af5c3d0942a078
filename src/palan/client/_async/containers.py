"""Containers."""

from palan.client._async.calls.containers import AsyncContainersCalls


__all__ = ["AsyncContainers"]


class AsyncContainers(AsyncContainersCalls):
    """Containers."""
