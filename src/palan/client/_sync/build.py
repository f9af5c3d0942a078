# Made of _async/build.py by scripts/client_sync.py: change that, and run this.
"""Builds: the endpoints as they are; ``client.images.build`` is what builds a directory."""

from palan.client._sync.calls.build import BuildCalls


__all__ = ["Build"]


class Build(BuildCalls):
    """Images made from Dockerfiles, and the build cache."""
