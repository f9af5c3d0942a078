"""The log driver ``gelf``: Graylog's extended log format, over UDP (in chunks) and TCP."""

import gzip
import secrets
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.driver import Driver, Origin, Retry, Sink
from palan.engine.logdrivers.entry import Entry
from palan.engine.logdrivers.transport import Address, Datagrams, Stream, build_messages, split_url


__all__ = ["Gelf"]

_CHUNK: Final = 1420
_HEADER: Final = 12
_MAX_CHUNKS: Final = 128
_MAGIC: Final = b"\x1e\x0f"
_LEVELS: Final = {"stderr": 3, "stdout": 6}


def _address(text: str) -> Address:
    if not text:
        raise InvalidParameter("gelf-address is a required parameter")
    url = split_url(text)
    if url.scheme not in ("udp", "tcp"):
        raise InvalidParameter("gelf: endpoint needs to be TCP or UDP")
    if not url.port:
        raise InvalidParameter("gelf: please provide gelf-address as proto://host:port")
    return Address(url.scheme, url.hostname or "localhost", url.port)


def _is_number(text: str, low: int, high: int) -> bool:
    try:
        return len(text) < 12 and low <= int(text) <= high
    except ValueError:
        return False


class Gelf(Driver):
    """The log driver ``gelf``."""

    options = frozenset(
        f"gelf-{name}"
        for name in (
            "address", "compression-level", "compression-type", "tcp-max-reconnect",
            "tcp-reconnect-delay",
        )
    )  # fmt: skip

    def rename(self, name: str) -> str:
        """Return the name under which a label or variable is sent."""
        return name if name.startswith("_") else f"_{name}"

    def check(self, options: Mapping[str, str]) -> None:
        """Check the values of options."""
        scheme = _address(options.get("gelf-address", "")).scheme
        for name, value in options.items():
            unknown = f'unknown value "{value}" for log opt "{name}" for gelf log driver'
            match name:
                case "gelf-compression-level" | "gelf-compression-type":
                    if scheme != "udp":
                        raise InvalidParameter("compression is only supported on UDP")
                    known = (
                        _is_number(value, -1, 9)
                        if name.endswith("level")
                        else value in ("gzip", "zlib", "none")
                    )
                    if not known:
                        raise InvalidParameter(unknown)
                case "gelf-tcp-max-reconnect" | "gelf-tcp-reconnect-delay":
                    if scheme != "tcp":
                        raise InvalidParameter(f'"{name}" is only valid for TCP')
                    if not _is_number(value, 0, 2**31):
                        raise InvalidParameter(f'"{name}" must be a positive integer')

    def sink(self, origin: Origin) -> Sink:
        """Return the receiver of one container's lines."""
        return _Sink(origin)


class _Sink(Sink):
    def __init__(self, origin: Origin) -> None:
        options = origin.options
        address = _address(options["gelf-address"])
        self._origin = origin
        self._fixed = {
            "_container_id": origin.id,
            "_container_name": origin.name,
            "_image_id": origin.image_id,
            "_image_name": origin.image_name,
            "_command": origin.command,
            "_tag": origin.tag,
            "_created": origin.created,
            **origin.extra,
        }
        self._connection = Datagrams(address) if address.scheme == "udp" else Stream(address)
        self._pack = _packer(options)
        if "gelf-tcp-max-reconnect" in options or "gelf-tcp-reconnect-delay" in options:
            delay = float(options.get("gelf-tcp-reconnect-delay", "1"))
            attempts = options.get("gelf-tcp-max-reconnect")
            self.retry = Retry(delay, 1.0, delay, None if attempts is None else int(attempts))

    async def open(self) -> None:
        """Connect to the receiver."""
        try:
            await self._connection.open()
        except OSError as error:
            raise OSError(f"gelf: cannot connect to GELF endpoint: {error}") from None

    async def send(self, entries: Sequence[Entry]) -> None:
        """Send lines, in order."""
        lines = (entry for entry in entries if entry.line)
        if isinstance(self._connection, Datagrams):
            packed = await build_messages(lines, lambda entry: self._pack(self._message(entry)))
            await self._connection.write(part for data in packed for part in _chunks(data))
        elif messages := await build_messages(lines, self._message):
            await self._connection.write(b"\0".join([*messages, b""]))

    def _message(self, entry: Entry) -> bytes:
        message: dict[str, Any] = {
            "version": "1.1",
            "host": self._origin.hostname,
            "short_message": entry.text,
            "timestamp": entry.time // 10**6 / 1000,
            "level": _LEVELS[entry.source],
            **self._fixed,
        }
        return msgspec.json.encode(message)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _packer(options: Mapping[str, str]) -> Callable[[bytes], bytes]:
    level = int(options.get("gelf-compression-level", "1"))
    match options.get("gelf-compression-type", "gzip"):
        case "none":
            return bytes
        case "zlib":
            return lambda data: zlib.compress(data, level)
    # gzip takes no -1 for the default level, which is 6.
    return lambda data: gzip.compress(data, 6 if level < 0 else level)


def _chunks(data: bytes) -> list[bytes]:
    """Split a message into datagrams; one that is too large for the protocol is dropped."""
    if len(data) <= _CHUNK:
        return [data]
    room = _CHUNK - _HEADER
    pieces = [data[at : at + room] for at in range(0, len(data), room)]
    if len(pieces) > _MAX_CHUNKS:
        return []
    name = _MAGIC + secrets.token_bytes(8)
    return [name + bytes((number, len(pieces))) + piece for number, piece in enumerate(pieces)]
