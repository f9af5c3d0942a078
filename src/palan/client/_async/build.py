"""Builds: the plain endpoints; ``client.images.build`` builds the image of a directory."""

from palan.client._async.calls.build import AsyncBuildCalls


__all__ = ["AsyncBuild"]


class AsyncBuild(AsyncBuildCalls):
    """Builds of images from Dockerfiles, and the build cache."""
