"""The group of the endpoints for containers, which are declared in several modules."""

from palan.api.endpoint import Group


__all__ = ["group"]

group = Group("containers", "Containers: their life cycle, their streams, their files.")
