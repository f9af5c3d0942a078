"""Networks: the default bridge, ``host``, ``none``, and what containers have there.

``rules`` and ``ipam`` are pure; ``bridge`` brings the default bridge up, ``sandbox``
gives a container its namespace and plugs it in, ``ports`` and ``proxy`` publish.
"""

from palan.engine.networks.room import SCHEMA, Networks


__all__ = ["SCHEMA", "Networks"]
