"""Containers: one module per thing that can be done to them.

``create``, ``start``, ``stop`` (and kill), ``pause``, ``rename``, ``wait``,
``remove``, ``listing``, ``inspect``, ``logs``, ``attach`` are what their endpoints do;
``exit`` is what happens when a container ends by itself; ``recover`` what happens
to all of them when the engine starts.  :class:`Containers` is the room's front.
"""

from palan.engine.containers.room import SCHEMA, Containers


__all__ = ["SCHEMA", "Containers"]
