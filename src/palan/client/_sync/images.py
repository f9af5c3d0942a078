# Made of _async/images.py by scripts/client_sync.py: change that, and run this.
"""Images."""

from palan.client._sync.calls.images import ImagesCalls


__all__ = ["Images"]


class Images(ImagesCalls):
    """Images."""
