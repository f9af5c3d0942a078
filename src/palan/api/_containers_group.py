"""The group of the endpoints about containers, which several modules declare."""

from palan.api.endpoint import Group


__all__ = ["group"]

group = Group("containers", "Containers: their life, their streams, their files.")
