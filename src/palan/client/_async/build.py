"""Builds: the endpoints as they are; ``client.images.build`` is what builds a directory."""

from palan.client._async.calls.build import AsyncBuildCalls


__all__ = ["AsyncBuild"]


class AsyncBuild(AsyncBuildCalls):
    """Images made from Dockerfiles, and the build cache."""
