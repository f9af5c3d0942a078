"""Managed plugins: there are none yet, which is what the list says."""

from palan.engine.plugins.room import Plugins


__all__ = ["Plugins"]
