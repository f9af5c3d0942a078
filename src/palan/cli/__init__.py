"""The ``palan`` command."""

from palan.cli.main import main


__all__ = ["main"]
