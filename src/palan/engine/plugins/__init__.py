"""Managed plugins, which this engine does not have yet: the list is empty."""

from palan.engine.plugins.room import Plugins


__all__ = ["Plugins"]
