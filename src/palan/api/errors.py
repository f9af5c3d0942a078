"""Errors by meaning, each with its HTTP status.

The engine raises them; the server answers ``{"message": ...}`` with
:attr:`PalanError.status`. Messages have dockerd's wording where clients match on it.
"""

import errno
import os
from typing import ClassVar, Final


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
    "machine_failure",
]

_MACHINE: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE),
        *(errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EUCLEAN, errno.ENOTCONN, errno.ENXIO),
    }
)
"""Errors of the machine, not of the engine: a full or dead disk, no memory, no descriptors."""


class PalanError(Exception):
    """Base class of the API's errors.

    Attributes:
        status: the HTTP status of the answer.
        message: the problem and, where possible, its solution.
    """

    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InternalError(PalanError):
    """The engine or the machine failed (500)."""


class InvalidParameter(PalanError):
    """The request is malformed or inconsistent (400)."""

    status = 400


class Unauthorized(PalanError):
    """Credentials are missing or wrong (401)."""

    status = 401


class Forbidden(PalanError):
    """The operation is never allowed (403)."""

    status = 403


class NotFound(PalanError):
    """No such object exists (404)."""

    status = 404


class NotAcceptable(PalanError):
    """The client accepts no content type of the answer (406)."""

    status = 406


class Conflict(PalanError):
    """The state of the object forbids the operation (409)."""

    status = 409


class NotModified(PalanError):
    """The object already has the requested state (304, no body)."""

    status = 304


class NotYetImplemented(PalanError):
    """The operation is not implemented, or not possible on this machine (501)."""

    status = 501


class Unavailable(PalanError):
    """A swarm, a runtime or a peer that the request needs is not available (503)."""

    status = 503


def machine_failure(error: BaseException) -> str:
    """Return the reason of an error if it is a failure of the machine, such as a full disk.

    Returns:
        the file, if it is known, and the words of the system; empty for other errors.
    """
    if not isinstance(error, OSError) or error.errno not in _MACHINE:
        return ""
    words = os.strerror(error.errno).lower()
    return f"{error.filename}: {words}" if isinstance(error.filename, str) else words
