"""The init program that a container with ``--init`` runs as its first process."""

from typing import Final

from palan.host.oci_runtime import find_programs


__all__ = ["INIT_PROGRAMS", "find_init"]

INIT_PROGRAMS: Final = ("docker-init", "tini-static", "tini", "catatonit")
"""Names of programs that serve as init, the preferred one first."""


def find_init(configured: str) -> str:
    """Return the path of the init program; empty if none was found.

    Args:
        configured: the path that the configuration names, or empty.
    """
    if configured:
        return configured
    found = find_programs(INIT_PROGRAMS)
    return next((str(found[name]) for name in INIT_PROGRAMS if name in found), "")
