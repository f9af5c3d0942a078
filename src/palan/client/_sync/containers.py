# Made of _async/containers.py by scripts/client_sync.py: change that, and run this.
"""Containers."""

from palan.client._sync.calls.containers import ContainersCalls


__all__ = ["Containers"]


class Containers(ContainersCalls):
    """Containers."""
