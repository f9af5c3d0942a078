"""Volumes: files that outlive containers, kept by the engine or by a plugin."""

from palan.engine.volumes.room import SCHEMA, Volumes


__all__ = ["SCHEMA", "Volumes"]
