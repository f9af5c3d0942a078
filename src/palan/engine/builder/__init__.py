"""Building images from Dockerfiles, as Docker's classic builder does.

:mod:`~palan.dockerfile` parses a Dockerfile; this room executes its instructions, each of
which makes an image based on the one before.
"""

from palan.engine.builder.room import Builds


__all__ = ["Builds"]
