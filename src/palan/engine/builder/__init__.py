"""Images made from Dockerfiles, by what Docker calls its classic builder.

:mod:`~palan.dockerfile` reads a Dockerfile; here its instructions are carried out, each of
which makes an image upon the one before.
"""

from palan.engine.builder.room import Builds


__all__ = ["Builds"]
