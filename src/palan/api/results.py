"""Results of successful calls: their declarations, and the values that the engine returns.

The *declared* results (:class:`Json`, :class:`Bytes`, ...) are parts of endpoint
declarations. The *live* results (:class:`ByteStream`, :class:`MessageStream`, ...) are
returned by the engine's methods where the answer is not a single message; for
:class:`Json` the engine returns the message itself, and for :data:`NO_CONTENT` usually None.

==================  =============================================================
declared            the engine's method returns
==================  =============================================================
``Json(T)``         a ``T``
``NO_CONTENT``      None, or a ``NoContent`` with another status
``Ping()``          a str, or None for headers alone
``LateJson(T)``     :class:`Late`: the head is sent now, the ``T`` when it is known
``Bytes(type)``     :class:`ByteStream`
``Messages(T)``     :class:`MessageStream` of ``T``
``RawFrames()``     :class:`FrameStream`: log output, raw (TTY) or multiplexed
``Hijack()``        :class:`Session`: the connection becomes a raw two-way stream
``Stat()``          :class:`PathStat` header and no body (HEAD of an archive)
==================  =============================================================

Each of these may be wrapped in a :class:`WithHeaders`.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, runtime_checkable

import msgspec

from palan.api._base import Message, camel_case
from palan.api.version import MIN_VERSION, Version


__all__ = [
    "JSON_LINES",
    "JSON_SEQUENCE",
    "NDJSON",
    "NO_CONTENT",
    "ByteSource",
    "ByteStream",
    "Bytes",
    "FrameStream",
    "Hijack",
    "Json",
    "Late",
    "LateJson",
    "MessageStream",
    "Messages",
    "NoContent",
    "PathStat",
    "Ping",
    "RawFrames",
    "Result",
    "Session",
    "Stat",
    "WithHeaders",
]


JSON_LINES: Final = "application/jsonl"
NDJSON: Final = "application/x-ndjson"
JSON_SEQUENCE: Final = "application/json-seq"
"""RFC 7464: a record separator before each message."""


# ---- declared ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """Base class of the declared results."""

    status: int = 200


@dataclass(frozen=True, slots=True)
class NoContent(Result):
    """No body."""

    status: int = 204


@dataclass(frozen=True, slots=True)
class Json(Result):
    """One JSON document of a type."""

    type: Any = None

    def __init__(self, type: Any, status: int = 200) -> None:  # noqa: A002 - reads best at the call
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "status", status)


@dataclass(frozen=True, slots=True, init=False)
class LateJson(Json):
    """One JSON document whose head is sent before its value is known (``wait``)."""


@dataclass(frozen=True, slots=True)
class Ping(Result):
    """Plain text with headers for the builder's version and the state of the swarm.

    For HEAD there are only the headers.
    """


@dataclass(frozen=True, slots=True)
class Bytes(Result):
    """A body of bytes of unknown length, such as a tar archive."""

    content_type: str = "application/x-tar"
    compressible: bool = False
    """Whether the body is compressed for clients that accept it (``Accept-Encoding``)."""

    def __init__(
        self,
        content_type: str = "application/x-tar",
        status: int = 200,
        *,
        compressible: bool = False,
    ) -> None:
        object.__setattr__(self, "content_type", content_type)
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "compressible", compressible)


@dataclass(frozen=True, slots=True)
class Messages(Result):
    """A sequence of JSON messages (events, stats, progress), one per line."""

    type: Any = None
    media_types: tuple[str, ...] = ()
    """Media types that a client may ask for (``Accept``) instead of ``application/json``."""

    media_types_since: Version = MIN_VERSION
    """The API version from which on the first of ``media_types`` is the default."""

    def __init__(
        self,
        type: Any,  # noqa: A002 - reads best at the call
        status: int = 200,
        *,
        media_types: tuple[str, ...] = (),
        media_types_since: Version = MIN_VERSION,
    ) -> None:
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "media_types", media_types)
        object.__setattr__(self, "media_types_since", media_types_since)


@dataclass(frozen=True, slots=True)
class RawFrames(Result):
    """Container output: raw with a TTY, else Docker's multiplexed frames."""


@dataclass(frozen=True, slots=True)
class Hijack(Result):
    """The connection itself becomes the stream, with or without an ``Upgrade``."""

    upgrade: Literal["tcp", "h2c", "websocket"] = "tcp"
    """The protocol that a client asks for with ``Upgrade``."""

    early: bool = False
    """Whether the connection is taken over before the request is examined, as in dockerd's attach.

    The answer then has none of the API's headers, and an error is text in the stream.
    """


@dataclass(frozen=True, slots=True)
class Stat(Result):
    """The status of a path in the header ``X-Docker-Container-Path-Stat``, without a body."""


NO_CONTENT = NoContent()


# ---- live -------------------------------------------------------------------

ByteSource = AsyncIterator[bytes]
"""A request body that is read as it arrives (import, load, build, archive)."""


@dataclass(slots=True)
class WithHeaders:
    """Any other result with additional headers."""

    value: Any
    headers: Mapping[str, str]


@dataclass(slots=True)
class Late:
    """A JSON answer that is awaited after the head was sent."""

    value: Awaitable[Any]


class PathStat(Message, rename=camel_case):
    """The status of a path in a container, as in ``X-Docker-Container-Path-Stat``."""

    name: str
    size: int = 0
    """Bytes."""

    mode: int = 0
    """Go's ``os.FileMode``: permissions in the low nine bits, kinds in the high ones."""

    mtime: str = ""
    """RFC 3339."""

    link_target: str = ""

    def header(self) -> str:
        """Return the value of the header, JSON in base64."""
        return b64encode(msgspec.json.encode(self)).decode()


@dataclass(slots=True)
class ByteStream:
    """A body of bytes. The server closes ``chunks`` when the client disconnects."""

    chunks: AsyncIterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class MessageStream:
    """A stream of messages.

    Attributes:
        messages: the messages; the server closes the iterator when the client disconnects.
        early: whether the head is sent before the first message (events, stats).
            Otherwise an error before the first message becomes an error status, and a
            later one is sent in-band as ``errorDetail``.
    """

    messages: AsyncIterator[Any]
    early: bool = False


@dataclass(slots=True)
class FrameStream:
    """Container output, already framed by :mod:`palan.api.frames` unless ``tty``."""

    chunks: AsyncIterator[bytes]
    tty: bool = False


@runtime_checkable
class Session(Protocol):
    """A two-way stream between a client and a process (attach, exec start).

    The server reads :meth:`output` until it ends and then closes the client's connection.
    It passes input to :meth:`write`, and the end of the input to :meth:`close_input`. In the
    end it always calls :meth:`close`, also after the client has disconnected; that detaches
    and does not affect the process.
    """

    tty: bool

    def output(self) -> AsyncIterator[bytes]:
        """Iterate over the output: raw with a TTY, else frames of :mod:`palan.api.frames`."""

    async def write(self, data: bytes) -> None:
        """Write input to the process; wait while it does not read."""

    async def close_input(self) -> None:
        """End the input of the process."""

    async def close(self) -> None:
        """Detach; idempotent."""
