"""Tar archives made and read in memory."""

import base64
import io
import json
import tarfile
from typing import Any, Final


__all__ = ["TAR", "entry", "members", "path_stat", "tarball"]

TAR: Final = {"Content-Type": "application/x-tar"}

_KINDS: Final = {
    "dir": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
}


def entry(name: str, data: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member: a file with ``data``, or one of ``kind`` dir, link, hard, fifo or char."""
    info = tarfile.TarInfo(name)
    kind = attributes.pop("kind", "")
    info.type = _KINDS.get(kind, tarfile.REGTYPE)
    info.mode = 0o755 if kind == "dir" else 0o644
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def tarball(*entries: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: info for info in tar}


def path_stat(headers: dict[str, str]) -> Any:
    """Return the decoded header ``X-Docker-Container-Path-Stat`` of a response."""
    return json.loads(base64.b64decode(headers["x-docker-container-path-stat"]))
