"""Changes of volumes."""

from palan.api.changes._change import Call, Change, add_filter, child, drop
from palan.api.version import Version


__all__ = ["CHANGES"]


def _prune_all(call: Call) -> None:
    """1.42 prunes only anonymous volumes, unless ``all`` is given."""
    add_filter(call, "all", "true")


def _no_cluster_volume(call: Call) -> None:
    """1.42 added cluster volumes."""
    drop(child(call.body), "ClusterVolumeSpec")


CHANGES = (
    Change(Version(1, 42), ("volumes.prune",), lift=_prune_all),
    Change(Version(1, 42), ("volumes.create",), lift=_no_cluster_volume),
)
