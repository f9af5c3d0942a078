"""The log driver ``splunk``: Splunk's HTTP event collector.

Lines wait up to five seconds, so that many are sent in one request; they count as sent only when
the collector has answered.  Requests are made by ``http.client`` in a thread, which mostly waits.
"""

import asyncio
import gzip
import http.client
import ssl
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult

import msgspec

from palan.api.booleans import BOOLEANS
from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.driver import Driver, Origin, Sink
from palan.engine.logdrivers.entry import Entry
from palan.engine.logdrivers.transport import build_messages, split_url


__all__ = ["Splunk"]

_PATH: Final = "/services/collector/event/1.0"
_TIMEOUT: Final = 30.0
_BATCH: Final = 1000
_ANSWER_MAX: Final = 1024
_LINGER: Final = 5.0
_FORMATS: Final = ("inline", "json", "raw")


def _url(options: Mapping[str, str]) -> SplitResult:
    text = options.get("splunk-url")
    if text is None:
        raise InvalidParameter("splunk: splunk-url is expected")
    try:
        url = split_url(text)
    except InvalidParameter:
        raise InvalidParameter(
            f"splunk: failed to parse {text} as url value in splunk-url"
        ) from None
    if (
        url.scheme not in ("http", "https")
        or not url.hostname
        or url.path not in ("", "/")
        or url.query
        or url.fragment
    ):
        raise InvalidParameter(
            "splunk: expected format scheme://dns_name_or_ip:port for splunk-url"
        )
    return url


def _boolean(options: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    text = options.get(name)
    if text is not None and text not in BOOLEANS:
        raise InvalidParameter(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return default if text is None else BOOLEANS[text]


def _level(options: Mapping[str, str]) -> int:
    text = options.get("splunk-gzip-level", "-1")
    try:
        level = int(text[:4])
    except ValueError:
        raise InvalidParameter(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if not -1 <= level <= 9:
        raise InvalidParameter(
            f"not supported level '{text}' for splunk-gzip-level"
            " (supported values between -1 and 9)"
        )
    return level


class Splunk(Driver):
    """The log driver ``splunk``."""

    options = frozenset(
        f"splunk-{name}"
        for name in (
            "url", "token", "source", "sourcetype", "index", "capath", "caname",
            "insecureskipverify", "format", "verify-connection", "gzip", "gzip-level",
            "index-acknowledgment",
        )
    )  # fmt: skip

    def check(self, options: Mapping[str, str]) -> None:
        """Check the values of options, which dockerd does when the container starts."""
        _url(options)
        if "splunk-token" not in options:
            raise InvalidParameter("splunk: splunk-token is expected")
        for name in ("insecureskipverify", "gzip", "index-acknowledgment", "verify-connection"):
            _boolean(options, f"splunk-{name}")
        _level(options)
        form = options.get("splunk-format", "inline")
        if form not in _FORMATS:
            raise InvalidParameter(
                f"unknown format specified {form}, supported formats are inline, json and raw"
            )
        for name in ("splunk-token", "splunk-caname"):
            if not options.get(name, "").isprintable():
                raise InvalidParameter(f"splunk: {name} has characters that can't be sent")

    def sink(self, origin: Origin) -> Sink:
        """Return the receiver of one container's lines."""
        return _Sink(origin)


class _Sink(Sink):
    linger = _LINGER

    def __init__(self, origin: Origin) -> None:
        options = origin.options
        self._origin = origin
        self._url = _url(options)
        self._form = options.get("splunk-format", "inline")
        # An empty tag means no tag; for dockerd's other drivers it means the default.
        self._tag = "" if options.get("tag") == "" else origin.tag
        prefix = [self._tag] if self._tag else []
        prefix += [f"{name}={value}" for name, value in origin.extra.items()]
        self._prefix = "".join(f"{part} " for part in prefix)
        self._fixed = {"host": origin.hostname} | {
            name: value
            for name in ("source", "sourcetype", "index")
            if (value := options.get(f"splunk-{name}"))
        }
        self._level = _level(options) if _boolean(options, "splunk-gzip") else None
        self._acknowledged = _boolean(options, "splunk-index-acknowledgment")
        self.must_connect = _boolean(options, "splunk-verify-connection", default=True)
        self._connection: http.client.HTTPConnection | None = None

    async def open(self) -> None:
        """Check that the collector answers, unless an option forbids that."""
        if self.must_connect:
            await asyncio.to_thread(self._call, "OPTIONS", b"", "verify connection")

    async def send(self, entries: Sequence[Entry]) -> None:
        """Send lines, in order."""
        for start in range(0, len(entries), _BATCH):
            messages = await build_messages(entries[start : start + _BATCH], self._message)
            if data := b"".join(messages):
                await asyncio.to_thread(self._call, "POST", data, "send event")

    def _message(self, entry: Entry) -> bytes:
        event: Any
        if self._form == "raw":
            if not entry.text.strip():
                return b""  # the collector refuses blank events
            event = self._prefix + entry.text
        else:
            line: Any = entry.text
            if self._form == "json":
                try:
                    msgspec.json.decode(entry.line)
                    line = msgspec.Raw(entry.line)
                except msgspec.DecodeError:
                    pass
            event = {"line": line, "source": entry.source}
            if self._tag:
                event["tag"] = self._tag
            if self._origin.extra:
                event["attrs"] = self._origin.extra
        time = f"{entry.time // 10**9}.{entry.time % 10**9 // 1000:06d}"
        return msgspec.json.encode({"event": event, "time": time, **self._fixed})

    def _call(self, method: str, data: bytes, what: str) -> None:
        """Make a request.  Blocking.

        Raises:
            OSError: there is no answer, or the collector refused it.
        """
        headers = {"Authorization": f"Splunk {self._origin.options['splunk-token']}"}
        if self._level is not None and data:
            data = gzip.compress(data, 6 if self._level < 0 else self._level)
            headers["Content-Encoding"] = "gzip"
        if self._acknowledged:
            headers["X-Splunk-Request-Channel"] = str(uuid.uuid4())
        connection = self._connected()
        try:
            connection.request(method, _PATH, body=data or None, headers=headers)
            answer = connection.getresponse()
            text = answer.read(_ANSWER_MAX).decode("utf-8", "replace")
            if answer.read(1):
                self._drop()
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise OSError(f'{method.title()} "{self._url.geturl()}": {error}') from None
        if answer.status != http.client.OK:
            status = f"{answer.status} {answer.reason}"
            raise OSError(f"splunk: failed to {what} - {status} - {text}")

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._url.hostname or "", self._url.port
            if self._url.scheme == "https":
                self._connection = _RenamedConnection(
                    host,
                    port,
                    name=self._origin.options.get("splunk-caname", ""),
                    context=_tls_context(self._origin.options),
                    timeout=_TIMEOUT,
                )
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        """Close the connection."""
        self._drop()


class _RenamedConnection(http.client.HTTPSConnection):
    """A connection to a host whose certificate has another name."""

    def __init__(
        self, host: str, port: int | None, *, name: str, context: ssl.SSLContext, timeout: float
    ) -> None:
        super().__init__(host, port, context=context, timeout=timeout)
        self._name = name or host
        self._tls = context

    def connect(self) -> None:
        """Connect, and verify the certificate for that name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    if authority := options.get("splunk-capath"):
        context = ssl.create_default_context(cafile=authority)
    else:
        context = ssl.create_default_context()
    if _boolean(options, "splunk-insecureskipverify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
