"""Discovery of plugins: sockets in one directory, files that contain an address in others.

``NAME.sock`` is tried first, then ``NAME.spec`` (a URL) and ``NAME.json`` (a URL and TLS
settings); each may also lie in a directory named like the plugin.
"""

import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from palan.plugins.failures import PluginFailure, PluginNotFound


__all__ = ["Address", "PluginPaths", "TLSFiles"]

_SPECS: Final = (".spec", ".json")
_SCHEMES: Final = frozenset({"unix", "tcp", "http", "https"})
_LONGEST: Final = 64 << 10
"""Largest size in bytes of a ``.spec`` or ``.json`` file."""


class TLSFiles(msgspec.Struct, frozen=True):
    """``TLSConfig`` of a ``.json`` file; without a CA file the plugin is not verified."""

    insecure_skip_verify: bool = msgspec.field(default=False, name="InsecureSkipVerify")
    ca_file: str = msgspec.field(default="", name="CAFile")
    cert_file: str = msgspec.field(default="", name="CertFile")
    key_file: str = msgspec.field(default="", name="KeyFile")

    def context(self) -> ssl.SSLContext:
        """Return a context with these files loaded; reads the files.

        Raises:
            OSError: a file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.insecure_skip_verify or not self.ca_file:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file or None)
        return context


class _Document(msgspec.Struct):
    """The content of a ``.json`` file."""

    addr: str = msgspec.field(name="Addr")
    tls: TLSFiles | None = msgspec.field(default=None, name="TLSConfig")


@dataclass(frozen=True, slots=True)
class Address:
    """The address where a plugin listens.

    Attributes:
        path: path of its unix socket; empty if it is reached by TCP.
        host: host name or IP address, for TCP.
        port: port, for TCP.
        tls: TLS settings; None for plain HTTP.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    tls: TLSFiles | None = None

    @classmethod
    def parse(cls, text: str, tls: TLSFiles | None = None) -> "Address":
        """Parse ``unix:///path``, ``tcp://host:port`` or an http or https URL.

        Raises:
            PluginFailure: it is none of these.
        """
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError as error:
            raise PluginFailure(f"invalid address of a plugin: {text!r}: {error}") from None
        if url.scheme not in _SCHEMES:
            raise PluginFailure(f"invalid address of a plugin: {text!r}: Unknown protocol")
        if url.scheme == "unix":
            return cls(path=url.netloc + url.path)
        if not url.hostname:
            raise PluginFailure(f"invalid address of a plugin: {text!r}: no host")
        secure = url.scheme == "https" or (tls is not None and url.scheme == "tcp")
        return cls(
            host=url.hostname,
            port=port or (443 if secure else 80),
            tls=(tls or TLSFiles()) if secure else None,
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PluginPaths:
    """The directories in which plugins are found, in the order of the search."""

    sockets: tuple[Path, ...] = (Path("/run/docker/plugins"),)
    specs: tuple[Path, ...] = (Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))

    def find(self, name: str) -> Address:
        """Return the address of a plugin. Reads a small file or two.

        Raises:
            PluginNotFound: no such plugin.
            PluginFailure: its file cannot be read, or contains no address.
        """
        missing = PluginNotFound(f'plugin "{name}" not found')
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            raise missing
        for path in _candidates(self.sockets, name, (".sock",)):
            try:
                if stat.S_ISSOCK(path.stat().st_mode):
                    return Address(path=str(path))
            except OSError:
                continue
        for path in _candidates(self.specs, name, _SPECS):
            try:
                with path.open("rb") as file:
                    text = file.read(_LONGEST)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PluginFailure(f"plugin {name}: {path}: {error.strerror}") from None
            return _read(path, text)
        raise missing

    def names(self) -> list[str]:
        """Return the names of all plugins, sorted. Reads directories."""
        found = {}
        for directories, suffixes in ((self.sockets, (".sock",)), (self.specs, _SPECS)):
            for directory in directories:
                for name in _names(directory, suffixes):
                    found[name] = True
        return sorted(found)


def _candidates(
    directories: tuple[Path, ...], name: str, suffixes: tuple[str, ...]
) -> Iterator[Path]:
    for directory in directories:
        for suffix in suffixes:
            yield directory / f"{name}{suffix}"
            yield directory / name / f"{name}{suffix}"


def _names(directory: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    try:
        entries = list(directory.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.suffix in suffixes:
            if entry.suffix != ".sock" or entry.is_socket():
                yield entry.stem
        elif any((entry / f"{entry.name}{suffix}").exists() for suffix in suffixes):
            yield entry.name


def _read(path: Path, text: bytes) -> Address:
    try:
        if path.suffix == ".json":
            document = msgspec.json.decode(text, type=_Document)
            return Address.parse(document.addr, document.tls)
        return Address.parse(text.decode().strip())
    except (ValueError, PluginFailure) as error:  # msgspec's are ValueErrors
        raise PluginFailure(f"{path}: {error}") from None
