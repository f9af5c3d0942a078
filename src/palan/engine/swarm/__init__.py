"""The engine in a swarm; so far it never is in one."""

from palan.engine.swarm.outside import OutsideSwarm


__all__ = ["OutsideSwarm"]
