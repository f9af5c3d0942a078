"""Build."""

from palan.client._async.calls.build import AsyncBuildCalls


__all__ = ["AsyncBuild"]


class AsyncBuild(AsyncBuildCalls):
    """Build."""
