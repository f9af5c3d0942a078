"""Swarm mode, which this engine does not have yet: the answers of a node outside of a swarm."""

from palan.engine.swarm.outside import OutsideSwarm


__all__ = ["OutsideSwarm"]
