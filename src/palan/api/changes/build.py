"""Changes of builds and the build cache."""

from typing import Any

from palan.api.changes._change import Call, Change, drop_query
from palan.api.version import Version


__all__ = ["CHANGES"]


def _no_aux(message: Any) -> Any:
    """1.30 added messages for programs to the output of a build."""
    return None if isinstance(message, dict) and "aux" in message else message


def _keep_storage(call: Call) -> None:
    """1.48 replaced one limit by three."""
    for name in ("reserved-space", "max-used-space", "min-free-space"):
        call.query.pop(name, None)
    if "keep-storage" in call.query:
        call.query["reserved-space"] = call.query.pop("keep-storage")


CHANGES = (
    Change(Version(1, 30), ("build.build",), lower=_no_aux),
    Change(Version(1, 32), ("build.build",), lift=drop_query("platform")),
    Change(Version(1, 40), ("build.build",), lift=drop_query("outputs")),
    Change(Version(1, 48), ("build.prune",), lift=_keep_storage),
)
