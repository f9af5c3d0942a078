"""Images."""

from palan.client._async.calls.images import AsyncImagesCalls


__all__ = ["AsyncImages"]


class AsyncImages(AsyncImagesCalls):
    """Images."""
