# Made of _async/build.py by scripts/client_sync.py: change that, and run this.
"""Build."""

from palan.client._sync.calls.build import BuildCalls


__all__ = ["Build"]


class Build(BuildCalls):
    """Build."""
