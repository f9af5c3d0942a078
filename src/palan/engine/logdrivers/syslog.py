"""The log driver ``syslog``: RFC 3164 and RFC 5424 over UDP, TCP, TLS and local sockets."""

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.driver import Driver, Origin, Sink
from palan.engine.logdrivers.entry import Entry
from palan.engine.logdrivers.transport import Address, Datagrams, Stream, build_messages, split_url


__all__ = ["Syslog"]

_TLS: Final = "tcp+tls"
_FACILITIES: Final = {
    name: number
    for number, name in enumerate(
        ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
         "authpriv", "ftp")
    )
} | {f"local{n}": 16 + n for n in range(8)}  # fmt: skip
_ERROR, _INFO = 3, 6
_HIGHEST: Final = 23
_PORT: Final = 514
_LOCAL: Final = ("/dev/log", "/var/run/syslog", "/var/run/log")
_FORMATS: Final = ("", "rfc3164", "rfc5424", "rfc5424micro")

Format = Callable[[int, Origin, Entry], str]


def _address(text: str) -> Address | None:
    """Parse the receiver's address; return None for the machine's own syslog.

    Raises:
        InvalidParameter: it is not a valid address; in dockerd's words.
    """
    if not text:
        return None
    url = split_url(text)
    if url.scheme in ("unix", "unixgram"):
        if not Path(url.path).exists():
            raise InvalidParameter(f"stat {url.path}: no such file or directory")
        return Address(url.scheme, path=url.path)
    if url.scheme not in ("udp", "tcp", _TLS):
        raise InvalidParameter(f"unsupported scheme: '{url.scheme}'")
    return Address(url.scheme, url.hostname or "localhost", url.port or _PORT)


def _facility(text: str) -> int:
    if not text:
        return _FACILITIES["daemon"]
    if text in _FACILITIES:
        return _FACILITIES[text]
    if text.isascii() and text.isdigit() and len(text) < 3 and int(text) <= _HIGHEST:
        return int(text)
    raise InvalidParameter("invalid syslog facility")


def _moment(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.time // 10**9, UTC).astimezone()


def _stamp(entry: Entry) -> str:
    """Return a time like ``Jan  2 15:04:05``, in the machine's time zone."""
    moment = _moment(entry)
    return f"{moment:%b} {moment.day:2} {moment:%H:%M:%S}"


def _unix(priority: int, origin: Origin, entry: Entry) -> str:
    return f"<{priority}>{_stamp(entry)} {origin.tag}[{os.getpid()}]: {entry.text}"


def _rfc3164(priority: int, origin: Origin, entry: Entry) -> str:
    host = origin.hostname
    return f"<{priority}>{_stamp(entry)} {host} {origin.tag}[{os.getpid()}]: {entry.text}"


def _zone(moment: datetime) -> str:
    return moment.isoformat()[-6:].replace("+00:00", "Z")


def _rfc5424(priority: int, origin: Origin, entry: Entry, *, micro: bool = False) -> str:
    moment = _moment(entry)
    fraction = f".{entry.time % 10**9 // 1000:06d}" if micro else ""
    time = f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}{_zone(moment)}"
    tag = origin.tag
    return f"<{priority}>1 {time} {origin.hostname} {tag} {os.getpid()} {tag} - {entry.text}"


def _rfc5424micro(priority: int, origin: Origin, entry: Entry) -> str:
    return _rfc5424(priority, origin, entry, micro=True)


_WRITERS: Final[Mapping[str, Format]] = {
    "": _unix,
    "rfc3164": _rfc3164,
    "rfc5424": _rfc5424,
    "rfc5424micro": _rfc5424micro,
}


class Syslog(Driver):
    """The log driver ``syslog``."""

    options = frozenset(
        f"syslog-{name}"
        for name in (
            "address", "facility", "format", "tls-ca-cert", "tls-cert", "tls-key",
            "tls-skip-verify",
        )
    )  # fmt: skip

    def check(self, options: Mapping[str, str]) -> None:
        """Check the values of options."""
        _address(options.get("syslog-address", ""))
        _facility(options.get("syslog-facility", ""))
        if options.get("syslog-format", "") not in _FORMATS:
            raise InvalidParameter("Invalid syslog format")

    def sink(self, origin: Origin) -> Sink:
        """Return the receiver of one container's lines."""
        return _Sink(origin)


class _Sink(Sink):
    def __init__(self, origin: Origin) -> None:
        options = origin.options
        self._origin = origin
        self._address = _address(options.get("syslog-address", ""))
        self._priority = _facility(options.get("syslog-facility", "")) << 3
        form = options.get("syslog-format", "")
        self._write = _WRITERS[form]
        secure = self._address is not None and self._address.scheme == _TLS
        self._counted = secure and form.startswith("rfc5424")
        self._connection: Stream | Datagrams | None = None

    async def open(self) -> None:
        """Connect to the receiver."""
        await self.close()
        address = self._address
        if address is None:
            self._connection = await _local()
            return
        connection: Stream | Datagrams
        if address.scheme in ("udp", "unixgram"):
            connection = Datagrams(address)
        else:
            tls = None
            if address.scheme == _TLS:
                tls = await asyncio.to_thread(_tls_context, self._origin.options)
            connection = Stream(address, tls)
        await connection.open()
        self._connection = connection

    async def send(self, entries: Sequence[Entry]) -> None:
        """Send lines, in order."""
        if self._connection is None:
            await self.open()
        connection = self._connection
        messages = await build_messages((entry for entry in entries if entry.line), self._message)
        if isinstance(connection, Datagrams):
            await connection.write(messages)
        elif connection is not None and messages:
            await connection.write(b"".join(messages))

    def _message(self, entry: Entry) -> bytes:
        level = _ERROR if entry.source == "stderr" else _INFO
        data = (self._write(self._priority | level, self._origin, entry) + "\n").encode()
        return b"%d %s" % (len(data), data) if self._counted else data

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


async def _local() -> Datagrams | Stream:
    """Connect to the machine's own syslog."""
    for kind in ("unixgram", "unix"):
        for path in _LOCAL:
            address = Address(kind, path=path)
            connection = Datagrams(address) if kind == "unixgram" else Stream(address)
            try:
                await connection.open()
            except OSError:
                continue
            return connection
    raise OSError("Unix syslog delivery error")


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return the context for TLS to a receiver.  Blocking.

    Raises:
        OSError: a file can't be read, or has no certificate or key.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if authority := options.get("syslog-tls-ca-cert"):
            context.load_verify_locations(authority)
        if certificate := options.get("syslog-tls-cert"):
            context.load_cert_chain(certificate, options.get("syslog-tls-key") or None)
    except OSError as error:
        raise OSError(f"could not read certificate: {error}") from None
    if "syslog-tls-skip-verify" in options:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
