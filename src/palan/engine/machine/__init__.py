"""The machine: what this host can do, and the programs that run containers on it."""

from palan.engine.machine.failures import StartFailure
from palan.engine.machine.machine import Machine
from palan.engine.machine.runtimes import Runtimes


__all__ = ["Machine", "Runtimes", "StartFailure"]
