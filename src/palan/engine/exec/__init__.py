"""Execs: further processes in running containers."""

from palan.engine.exec.room import Execs


__all__ = ["Execs"]
