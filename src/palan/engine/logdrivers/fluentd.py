"""The log driver ``fluentd``: the forward protocol, msgpack over TCP, TLS or a local socket."""

import asyncio
import re
import secrets
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from palan.api.booleans import BOOLEANS
from palan.api.containers import LogConfig
from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.driver import Driver, Origin, Retry, Sink
from palan.engine.logdrivers.entry import Entry
from palan.engine.logdrivers.transport import Address, Stream, build_messages, split_url
from palan.engine.sizes import parse_size
from palan.engine.timestamps import go_duration, parse_duration


__all__ = ["Fluentd"]

_HOST: Final = "127.0.0.1"
_PORT: Final = 24224
_RETRIES_MAX: Final = 2**31 - 1
_ASYNC_MIN, _ASYNC_MAX = 10**8, 10**10
_EVENT_TIME: Final = 0
_ACK_TIMEOUT: Final = 30.0
_ACK_MAX: Final = 1024


def _address(text: str) -> Address:
    if not text:
        return Address("tcp", _HOST, _PORT)
    whole = text if "://" in text else f"tcp://{text}"
    try:
        url = split_url(whole)
    except InvalidParameter as error:
        raise InvalidParameter(f"invalid fluentd-address ({text}): {error.message}") from None
    problem = ""
    if url.scheme == "unix":
        if url.path.strip("/"):
            return Address("unix", path=url.path)
        problem = "path is empty"
    elif url.scheme not in ("tcp", "tls"):
        problem = f"unsupported scheme: '{url.scheme}'"
    elif url.path:
        problem = "should not contain a path element"
    if problem:
        raise InvalidParameter(f"invalid fluentd-address ({text}): {problem}")
    return Address(url.scheme, url.hostname or _HOST, url.port or _PORT)


def _boolean(options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "")
    if text and text not in BOOLEANS:
        raise InvalidParameter(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return BOOLEANS.get(text, False)


def _duration(options: Mapping[str, str], name: str, *, words: str = "") -> int:
    """Return an option in nanoseconds; 0 if it is not given."""
    text = options.get(name, "")
    if not text:
        return 0
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidParameter(f"{words}{error}") from None


def _retries(options: Mapping[str, str]) -> int | None:
    text = options.get("fluentd-max-retries", "")
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) is None:
        raise InvalidParameter(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > _RETRIES_MAX:
        raise InvalidParameter("invalid fluentd-max-retries: value out of range")
    return int(text)


class Fluentd(Driver):
    """The log driver ``fluentd``."""

    options = frozenset(
        f"fluentd-{name}"
        for name in (
            "address", "async", "async-reconnect-interval", "buffer-limit", "max-retries",
            "request-ack", "retry-wait", "sub-second-precision", "write-timeout", "read-timeout",
        )
    )  # fmt: skip

    def check(self, options: Mapping[str, str]) -> None:
        """Check the values of options."""
        _address(options.get("fluentd-address", ""))
        if limit := options.get("fluentd-buffer-limit"):
            try:
                parse_size(limit)
            except ValueError as error:
                raise InvalidParameter(str(error)) from None
        _duration(options, "fluentd-retry-wait")
        _retries(options)
        for name in ("async", "sub-second-precision", "request-ack"):
            _boolean(options, f"fluentd-{name}")
        name = "fluentd-async-reconnect-interval"
        interval = _duration(options, name, words=f"invalid value for {name}: ")
        if interval and not _ASYNC_MIN <= interval <= _ASYNC_MAX:
            raise InvalidParameter(
                f'invalid value for {name}: value ("{go_duration(interval)}") must be between'
                f" {go_duration(_ASYNC_MIN)} and {go_duration(_ASYNC_MAX)}"
            )
        for name in ("fluentd-write-timeout", "fluentd-read-timeout"):
            before = f"invalid value for {name}: value must be a duration"
            if _duration(options, name, words=f"{before}: ") < 0:
                raise InvalidParameter(f"{before} that is non-negative")

    def warnings(self, config: LogConfig) -> list[str]:
        """Return warnings about options without effect."""
        if "fluentd-buffer-limit" in (config.config or {}):
            warning = "fluentd-buffer-limit has no effect: events wait in the log, not in memory."
            return [warning]
        return []

    def sink(self, origin: Origin) -> Sink:
        """Return the receiver of one container's lines."""
        return _Sink(origin)


class _Sink(Sink):
    def __init__(self, origin: Origin) -> None:
        options = origin.options
        self._origin = origin
        self._address = _address(options.get("fluentd-address", ""))
        tls = ssl.create_default_context() if self._address.scheme == "tls" else None
        timeout = _duration(options, "fluentd-write-timeout") / 1e9
        self._connection = Stream(self._address, tls, timeout)
        self._precise = _boolean(options, "fluentd-sub-second-precision")
        self._acknowledged = _boolean(options, "fluentd-request-ack")
        self._ack_timeout = _duration(options, "fluentd-read-timeout") / 1e9 or _ACK_TIMEOUT
        self._renewal = _duration(options, "fluentd-async-reconnect-interval") / 1e9
        self._renewed = 0.0
        self.must_connect = not _boolean(options, "fluentd-async")
        wait = _duration(options, "fluentd-retry-wait") / 1e9 or 1.0
        self.retry = Retry(wait, 1.5, max(60.0, wait), _retries(options))

    async def open(self) -> None:
        """Connect to the receiver."""
        await self._connection.open()
        self._renewed = asyncio.get_running_loop().time()

    async def send(self, entries: Sequence[Entry]) -> None:
        """Send lines, in order."""
        now = asyncio.get_running_loop().time()
        if self._renewal and not self.must_connect and now - self._renewed >= self._renewal:
            await self.open()  # the name may have got another address
        if not self._acknowledged:
            messages = await build_messages(entries, lambda entry: self._message(entry, {}))
            await self._connection.write(b"".join(messages))
            return
        for entry in entries:
            chunk = b64encode(secrets.token_bytes(16)).decode()
            await self._connection.write(self._message(entry, {"chunk": chunk}))
            await self._acknowledgement(chunk)

    async def _acknowledgement(self, chunk: str) -> None:
        reader = self._connection.reader
        if reader is None:
            raise ConnectionResetError("the receiver has closed the connection")
        data = b""
        try:
            async with asyncio.timeout(self._ack_timeout):
                while len(data) < _ACK_MAX:
                    more = await reader.read(_ACK_MAX)
                    if not more:
                        raise ConnectionResetError("the receiver has closed the connection")
                    data += more
                    answer = _decoded(data)
                    if answer is not None:
                        if answer.get("ack") != chunk:
                            raise OSError(f"fluentd acknowledges {answer}, not {chunk}")
                        return
        except TimeoutError:
            raise OSError("fluentd does not acknowledge") from None
        raise OSError("fluentd sends something other than an acknowledgement")

    def _message(self, entry: Entry, option: dict[str, str]) -> bytes:
        record = {
            "container_id": self._origin.id,
            "container_name": f"/{self._origin.name}",
            "source": entry.source,
            "log": entry.text,
            **self._origin.extra,
        }
        if entry.partial is not None:
            record |= {
                "partial_message": "true",
                "partial_id": entry.partial.id,
                "partial_ordinal": str(entry.partial.ordinal),
                "partial_last": "true" if entry.partial.last else "false",
            }
        seconds, rest = divmod(entry.time, 10**9)
        time: Any = seconds
        if self._precise:
            data = seconds.to_bytes(4, "big") + rest.to_bytes(4, "big")
            time = msgspec.msgpack.Ext(_EVENT_TIME, data)
        return msgspec.msgpack.encode([self._origin.tag, time, record, option])

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _decoded(data: bytes) -> dict[str, Any] | None:
    """Decode an answer; return None while it is incomplete."""
    try:
        return msgspec.msgpack.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
