"""Volumes of the driver ``local``: directories that outlive containers."""

from palan.engine.volumes.room import SCHEMA, Volumes


__all__ = ["SCHEMA", "Volumes"]
