"""Volumes: files that outlive containers, kept here or by a driver of somebody else."""

from palan.engine.volumes.room import SCHEMA, Volumes


__all__ = ["SCHEMA", "Volumes"]
