"""Networks: the default bridge, ``host``, ``none``, user-defined ones, and their endpoints.

``room`` has the operations, ``sandbox`` creates a container's namespace with its endpoints,
``publish`` and ``host_ports`` publish ports, ``firewall`` keeps the rules, ``dns`` answers for
names.  ``ipam``, ``options``, ``rules*`` and ``validate_*`` are pure.  Containers are seen as
``member``; :class:`Surroundings` is what else the networks need from the engine.
"""

from palan.engine.networks.room import SCHEMA, Networks


__all__ = ["SCHEMA", "Networks"]
