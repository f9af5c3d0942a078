"""Containers: one module per operation.

``lifecycle`` has start, end, restart and removal, by the steps of ``start_steps``; ``recover``
reconciles all containers with the machine when the engine starts.  :class:`Containers` has a
method for each endpoint, and those that other rooms use.
"""

from palan.engine.containers.room import SCHEMA, Containers


__all__ = ["SCHEMA", "Containers"]
