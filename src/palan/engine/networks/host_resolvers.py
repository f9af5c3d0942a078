"""The DNS resolvers that the host itself asks at the moment, from its ``resolv.conf``."""

import time
from pathlib import Path
from typing import Final

from palan.engine.networks.resolv_conf import Resolvers, parse_resolv_conf


__all__ = ["HostResolvers"]

_FILE: Final = Path("/etc/resolv.conf")
_BEHIND_STUB: Final = Path("/run/systemd/resolve/resolv.conf")
"""The file in which systemd-resolved lists the resolvers that it asks."""
_STUB: Final = ["127.0.0.53"]
_FRESH: Final = 1.0  # seconds


class HostResolvers:
    """The host's resolvers; the file is read again when it has changed."""

    def __init__(self, path: Path = _FILE, behind_stub: Path = _BEHIND_STUB) -> None:
        self._path = path
        self._behind_stub = behind_stub
        self._read: tuple[int, int] = (0, 0)
        self._looked = 0.0
        self._found = Resolvers()

    def text(self) -> str:
        """Return the text of the file, or of systemd-resolved's if only that is named in it.

        Containers can't reach its stub on the host's loopback.
        """
        text = _text_of(self._path)
        if parse_resolv_conf(text).servers == _STUB:
            return _text_of(self._behind_stub) or text
        return text

    def servers(self) -> list[str]:
        """Return the host's resolvers; cheap enough to be called for each query."""
        now = time.monotonic()
        if now - self._looked > _FRESH:
            self._looked = now
            try:
                status = self._path.stat()
                stamp = status.st_mtime_ns, status.st_ino
            except OSError:
                stamp = (-1, -1)
            if stamp != self._read:
                self._read = stamp
                self._found = parse_resolv_conf(_text_of(self._path))
        return self._found.servers


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
