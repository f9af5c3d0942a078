"""Small messages that several groups of the API answer."""

from msgspec import field

from palan.api._base import Message


__all__ = ["ErrorResponse", "IDResponse"]


class ErrorResponse(Message):
    """The body of every error."""

    message: str = field(name="message")


class IDResponse(Message):
    """The id of what was made."""

    id: str
