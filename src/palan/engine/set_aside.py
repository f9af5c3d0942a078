"""Keeping directories that the engine does not understand."""

import secrets
from pathlib import Path


__all__ = ["set_aside"]


def set_aside(parent: Path, kind: str, directory: Path) -> Path:
    """Move a directory that no row describes to where people find it, and nothing deletes it.

    Args:
        parent: the directory for such directories; made if it is missing.
        kind: the kind of object that it belonged to, such as ``volume``.
        directory: the directory, on the same file system.

    Returns:
        its new path.
    """
    parent.mkdir(mode=0o700, exist_ok=True)
    return directory.rename(parent / f"{kind}-{directory.name}-{secrets.token_hex(4)}")
