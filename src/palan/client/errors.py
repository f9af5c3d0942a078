"""The exceptions of calls, by meaning.

::

    ClientError
    ├─ APIError               the engine answered with an error: status, message, method, path
    │  ├─ InvalidParameter 400, Unauthorized 401, Forbidden 403, NotFound 404,
    │  ├─ NotAcceptable 406, Conflict 409, InternalError 500, NotYetImplemented 501,
    │  └─ Unavailable 503
    ├─ TransportError         no usable response arrived
    │  ├─ ConnectFailed       the engine cannot be reached: nothing was sent
    │  ├─ ConnectionLost      the connection ended during the call
    │  ├─ Timeout             the call took too long (also a ``TimeoutError``)
    │  ├─ ProtocolError       the response is not HTTP, or does not follow the API
    │  └─ ClientClosed        the client or the stream was closed during the call
    ├─ OperationFailed        an error within the progress of a pull, a push, a build ...
    ├─ ContainerFailed        the container of ``containers.run`` ended with a code other than 0
    ├─ WrongEventLoop         an ``AsyncClient`` in another event loop than its first one
    ├─ NotSupported           the engine's API version lacks the feature: nothing was sent
    └─ ConfigError            a bad context, certificate or ``config.json``: nothing was sent

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
    "WrongEventLoop",
    "api_error",
]


class ClientError(Exception):
    """The base of all exceptions that a call raises, except for cancellation and misuse.

    Attributes:
        message: the error's text.
        method: the HTTP method of the request, empty if no request was made.
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
        # By default, pickling exceptions loses their keyword arguments.
        return _unpickle, (type(self), self.args, self.__dict__)


def _unpickle(kind: type[ClientError], args: tuple[Any, ...], state: dict[str, Any]) -> ClientError:
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
    """The request is invalid (400)."""

    default_status = 400


class Unauthorized(APIError):
    """Credentials are missing or wrong (401)."""

    default_status = 401


class Forbidden(APIError):
    """The request is not allowed (403)."""

    default_status = 403


class NotFound(APIError):
    """The object or the endpoint does not exist (404)."""

    default_status = 404


class NotAcceptable(APIError):
    """No content type of the response is acceptable (406)."""

    default_status = 406


class Conflict(APIError):
    """The object's present state does not allow the operation (409)."""

    default_status = 409


class InternalError(APIError):
    """The engine or its machine failed (500, and other statuses without a class of their own)."""

    default_status = 500


class NotYetImplemented(APIError):
    """The engine does not implement the endpoint or the option (501)."""

    default_status = 501


class Unavailable(APIError):
    """The engine lacks something that the request needs, such as a swarm (503)."""

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
    """Return the exception for a status; unknown ones are treated like 400 or 500."""
    nearest = InvalidParameter if 400 <= status < 500 else InternalError
    return _BY_STATUS.get(status, nearest)(message, status=status, method=method, path=path)


class TransportError(ClientError):
    """No usable response arrived.

    Attributes:
        container: the id of the container of ``containers.run`` or ``launch``, else empty. If it
            was not removed, the message says so.
        stdout: the standard output that had arrived when output was being collected.
        stderr: the standard error that had arrived.
        output: the messages of the builder that had arrived, for ``images.build``.
    """

    container: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    output: str = ""


class ConnectFailed(TransportError):
    """The engine cannot be reached; nothing was sent."""


class ConnectionLost(TransportError):
    """The connection ended during the call; whether the request had an effect is unknown."""


class Timeout(TransportError, TimeoutError):
    """The call took longer than its timeout; the connection is closed."""


class ProtocolError(TransportError):
    """The response is not HTTP, or does not follow the API."""


class ClientClosed(TransportError):
    """The client or the stream was closed before or during the call."""


class OperationFailed(ClientError):
    """A pull, push, load, import or build failed after its response had begun.

    Attributes:
        code: the exit code of a build's step, else 0.
        output: the messages of the builder before, for ``images.build``.
    """

    output: str = ""

    def __init__(self, message: str, *, code: int = 0, method: str = "", path: str = "") -> None:
        super().__init__(message, method=method, path=path)
        self.code = code


class ContainerFailed(ClientError):
    """A container ended with an exit code other than 0.

    Attributes:
        container: the container's id; it may be removed already.
        exit_code: the exit code.
        stdout: its standard output, as far as it was collected.
        stderr: its standard error, as far as it was collected.
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


class WrongEventLoop(ClientError):
    """An ``AsyncClient`` was used in another event loop than before; nothing was sent."""


class NotSupported(ClientError):
    """The API version in use does not have the feature; nothing was sent."""


class ConfigError(ClientError):
    """A context, a certificate, an address or ``config.json`` cannot be used."""
