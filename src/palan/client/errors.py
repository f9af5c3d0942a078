"""What can go wrong in a call, by meaning.

::

    ClientError
    ├─ APIError               the engine said no: status, message, method, path
    │  ├─ InvalidParameter 400, Unauthorized 401, Forbidden 403, NotFound 404,
    │  ├─ NotAcceptable 406, Conflict 409, InternalError 500, NotYetImplemented 501,
    │  └─ Unavailable 503
    ├─ TransportError         the engine said nothing that counts
    │  ├─ ConnectFailed       nobody there: nothing was sent
    │  ├─ ConnectionLost      it went away in the middle
    │  ├─ Timeout             it took too long (also a ``TimeoutError``)
    │  ├─ ProtocolError       it does not speak HTTP, or not as the API says
    │  └─ ClientClosed        somebody closed the client or the stream meanwhile
    ├─ OperationFailed        an error within the progress of a pull, a push, a build ...
    ├─ ContainerFailed        what ``containers.run`` ran did not end with 0
    ├─ NotSupported           the engine's API version has no such thing: nothing was sent
    └─ ConfigError            contexts, certificates, ``config.json``: nothing was sent

A cancelled coroutine raises ``asyncio.CancelledError``, as everywhere, and its connection
is closed.
"""

from typing import Any, ClassVar, Final


__all__ = [
    "APIError",
    "ClientClosed",
    "ClientError",
    "ConfigError",
    "Conflict",
    "ConnectFailed",
    "ConnectionLost",
    "ContainerFailed",
    "Forbidden",
    "InternalError",
    "InvalidParameter",
    "NotAcceptable",
    "NotFound",
    "NotSupported",
    "NotYetImplemented",
    "OperationFailed",
    "ProtocolError",
    "Timeout",
    "TransportError",
    "Unauthorized",
    "Unavailable",
    "api_error",
]


class ClientError(Exception):
    """Base of all that a call can raise, but for cancellation and misuse.

    Attributes:
        message: what went wrong.
        method: the HTTP method of the request, empty if there was none.
        path: the request's path without version and query.
    """

    def __init__(self, message: str, *, method: str = "", path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.method = method
        self.path = path

    def __str__(self) -> str:
        return f"{self.message} ({self.method} {self.path})" if self.method else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments do not survive the pickling of exceptions otherwise.
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ClientError], args: tuple[Any, ...], state: dict[str, Any]) -> ClientError:
    made = kind.__new__(kind)
    made.args = args
    made.__dict__.update(state)
    return made


class APIError(ClientError):
    """The engine answered with an error status.

    Attributes:
        status: the HTTP status.
    """

    default_status: ClassVar[int] = 0

    def __init__(
        self, message: str, *, status: int | None = None, method: str = "", path: str = ""
    ) -> None:
        super().__init__(message, method=method, path=path)
        self.status = self.default_status if status is None else status

    def __str__(self) -> str:
        return f"{self.status}: {super().__str__()}"


class InvalidParameter(APIError):
    """The request makes no sense as it is (400)."""

    default_status = 400


class Unauthorized(APIError):
    """Credentials are missing or wrong (401)."""

    default_status = 401


class Forbidden(APIError):
    """The request is understood and never allowed (403)."""

    default_status = 403


class NotFound(APIError):
    """There is no such object, or no such endpoint (404)."""

    default_status = 404


class NotAcceptable(APIError):
    """No content type of the answer is acceptable (406)."""

    default_status = 406


class Conflict(APIError):
    """The object is in a state that forbids this now (409)."""

    default_status = 409


class InternalError(APIError):
    """The engine or the machine failed (500 and what else has no meaning of its own)."""

    default_status = 500


class NotYetImplemented(APIError):
    """This engine does not have it (501)."""

    default_status = 501


class Unavailable(APIError):
    """Something that the request needs is not there, such as a swarm (503)."""

    default_status = 503


_BY_STATUS: Final[dict[int, type[APIError]]] = {
    kind.default_status: kind
    for kind in (
        InvalidParameter,
        Unauthorized,
        Forbidden,
        NotFound,
        NotAcceptable,
        Conflict,
        InternalError,
        NotYetImplemented,
        Unavailable,
    )
}


def api_error(status: int, message: str, method: str = "", path: str = "") -> APIError:
    """The error that a status means; of the unknown ones the class of their hundred."""
    nearest = InvalidParameter if 400 <= status < 500 else InternalError
    return _BY_STATUS.get(status, nearest)(message, status=status, method=method, path=path)


class TransportError(ClientError):
    """There is no answer to go by."""


class ConnectFailed(TransportError):
    """The engine cannot be reached; nothing was sent."""


class ConnectionLost(TransportError):
    """The connection ended in the middle; whether the request had an effect is unknown."""


class Timeout(TransportError, TimeoutError):
    """The engine took longer than it was given; the connection is closed."""


class ProtocolError(TransportError):
    """What answered does not speak HTTP, or not as the API says."""


class ClientClosed(TransportError):
    """The client, or this stream, was closed while the call went on or before it."""


class OperationFailed(ClientError):
    """A pull, push, load, import or build failed after its answer had begun.

    Attributes:
        code: the exit code of a build's step, else 0.
    """

    def __init__(self, message: str, *, code: int = 0, method: str = "", path: str = "") -> None:
        super().__init__(message, method=method, path=path)
        self.code = code


class ContainerFailed(ClientError):
    """A container that was waited for did not end with 0.

    Attributes:
        container: its id; it may be removed by now.
        exit_code: what it ended with.
        stdout: what it wrote there, as far as it was collected.
        stderr: the same of stderr.
    """

    def __init__(
        self,
        message: str,
        *,
        container: str,
        exit_code: int,
        stdout: bytes = b"",
        stderr: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.container = container
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class NotSupported(ClientError):
    """The API version that is spoken has no such thing; nothing was sent."""


class ConfigError(ClientError):
    """A context, a certificate, an address or ``config.json`` cannot be used."""
