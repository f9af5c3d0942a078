"""The limits that this machine's cgroups can set."""

from dataclasses import replace

from palan.host.cgroups import CgroupFeatures, Cgroups
from palan.host.oci_runtime import Kind


__all__ = ["CgroupSupport"]


class CgroupSupport:
    """Finds out what cgroups can limit, and remembers it.

    Args:
        cgroups: the machine's hierarchies.
        parent: the cgroup below which the containers' ones are, such as ``/palan``.
    """

    def __init__(self, cgroups: Cgroups, parent: str) -> None:
        self._cgroups = cgroups
        self._parent = parent.strip("/")
        self._found: dict[bool, CgroupFeatures] = {}

    def features(self, runtime: Kind | None) -> CgroupFeatures:
        """Return what cgroups can limit when that kind of runtime sets the limits.

        In the first generation some features show only in cgroups below the root, so the
        machine is asked once more when the engine's first cgroup exists.
        """
        trees = self._cgroups.trees
        below = any((tree / self._parent).exists() for tree in trees[:1])
        if below not in self._found:
            self._found[below] = self._look(runtime)
        return self._found[below]

    def _look(self, runtime: Kind | None) -> CgroupFeatures:
        found = self._cgroups.features()
        blkio = self._cgroups.controllers.get("blkio")
        if blkio is None or runtime != "crun":
            return found
        # In the first generation crun writes only the file of CFQ, which newer kernels lack.
        weighs = any(True for _ in blkio.glob("*/blkio.weight"))
        return replace(found, blkio_weight=weighs, blkio_weight_device=weighs)
