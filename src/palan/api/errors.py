"""What can go wrong, by meaning; the one place where a meaning becomes an HTTP status.

The engine raises these; the server turns them into ``{"message": ...}`` with
:attr:`PalanError.status`.  Messages are dockerd's where clients match on them.
"""

from typing import ClassVar


__all__ = [
    "Conflict",
    "Forbidden",
    "InternalError",
    "InvalidParameter",
    "NotAcceptable",
    "NotFound",
    "NotModified",
    "NotYetImplemented",
    "PalanError",
    "Unauthorized",
    "Unavailable",
]


class PalanError(Exception):
    """Base of everything the engine refuses or fails to do.

    Attributes:
        status: the HTTP status of the answer.
        message: what was wrong and, where possible, what would be right.
    """

    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InternalError(PalanError):
    """The engine or the machine failed, not the caller (500)."""


class InvalidParameter(PalanError):
    """The request makes no sense as it is (400)."""

    status = 400


class Unauthorized(PalanError):
    """Credentials are missing or wrong (401)."""

    status = 401


class Forbidden(PalanError):
    """The request is understood and never allowed (403)."""

    status = 403


class NotFound(PalanError):
    """There is no such object (404)."""

    status = 404


class NotAcceptable(PalanError):
    """No content type of the answer is acceptable to the client (406)."""

    status = 406


class Conflict(PalanError):
    """The object is in a state that forbids this now (409)."""

    status = 409


class NotModified(PalanError):
    """Nothing to do: it is already so (304, no body)."""

    status = 304


class NotYetImplemented(PalanError):
    """Declared in the contract, not built yet, or not possible here (501)."""

    status = 501


class Unavailable(PalanError):
    """Something the request needs is not there: a swarm, a runtime, a peer (503)."""

    status = 503
