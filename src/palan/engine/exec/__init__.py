"""Processes in running containers, beside the container's own."""

from palan.engine.exec.room import Execs


__all__ = ["Execs"]
