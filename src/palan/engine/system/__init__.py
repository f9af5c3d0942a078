"""The engine as a whole: ping, version, info, events, disk usage, registry log-in."""

from palan.engine.system.room import System


__all__ = ["System"]
