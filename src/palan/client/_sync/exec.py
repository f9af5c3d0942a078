# Made of _async/exec.py by scripts/client_sync.py: change that, and run this.
"""Exec."""

from palan.client._sync.calls.exec import ExecCalls


__all__ = ["Exec"]


class Exec(ExecCalls):
    """Exec."""
