"""Small messages that several groups of the API share."""

from palan.api._base import Message


__all__ = ["ErrorResponse", "IDResponse"]


class ErrorResponse(Message, rename=None):
    """The body of every error."""

    message: str


class IDResponse(Message):
    """The id of a new object."""

    id: str
