"""Servers that answer, but not with what was asked for: what they say, and what it means."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from palan.registry.challenge import parse_challenges
from palan.registry.failures import TransportError
from palan.registry.transport import Response
from palan.registry.urls import shown


__all__ = ["NoCredentials", "Refused", "complaint", "refused"]

_ANSWER_MAX: Final = 1024 * 1024
_MESSAGE_MAX: Final = 1000
_TEMPORARY: Final = frozenset({408, 429, 500, 502, 503, 504})


class NoCredentials(Exception):
    """The server wants to be told who is asking, and there is nothing to tell it."""

    def __init__(self, request: str) -> None:
        super().__init__(f"{request}: no basic auth credentials")


class _Refusal(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Refused(msgspec.Struct):
    details: str | None = None
    errors: list[_Refusal] | None = None


@dataclass(eq=False)
class Refused(Exception):
    """An answer that is none.

    Attributes:
        method: of the request.
        url: of the request, without what may be secret.
        status: of the answer.
        code: the error's code in the distribution specification, as dockerd writes it:
            in lower case, with spaces.
        message: the server's words.
        retry_after: seconds that it wants to be left alone; 0 if it does not say.
    """

    method: str
    url: str
    status: int
    code: str = ""
    message: str = ""
    retry_after: float = 0.0

    def __str__(self) -> str:
        return f"unexpected status from {self.method} request to {self.url}: {self.status_text}"

    @property
    def status_text(self) -> str:
        """``401 Unauthorized``."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def words(self) -> str:
        """``manifest unknown: manifest unknown``: what the server says, as far as it does."""
        return ": ".join(part for part in (self.code, self.message) if part)

    @property
    def temporary(self) -> bool:
        """Whether asking again may help."""
        return self.status in _TEMPORARY


def refused(method: str, response: Response) -> Refused:
    """What an answer that is none means; the response is read and closed."""
    with response:
        code, message = "", ""
        if method != "HEAD":
            try:
                body = response.body(_ANSWER_MAX)
            except TransportError:
                body = b""
            code, message = complaint(body, response.headers.get_content_type())
        if response.status == 401 and not code:
            # All that a HEAD tells of why a token was not enough.
            for challenge in parse_challenges(response.headers.get_all("WWW-Authenticate", [])):
                if challenge.scheme == "bearer":
                    code, message = "denied", challenge.parameters.get("error", "")
        wait = response.headers.get("Retry-After", "")
        return Refused(
            method,
            shown(response.url),
            response.status,
            code,
            re.sub(r"\s+", " ", message).strip()[:_MESSAGE_MAX],
            float(wait) if wait.isdecimal() and len(wait) < 9 else 0.0,
        )


def complaint(data: bytes, content_type: str) -> tuple[str, str]:
    """The error code, in dockerd's spelling, and the message in a refusal."""
    if content_type not in ("application/json", "application/vnd.api+json"):
        return "", data.decode(errors="replace")
    try:
        said = msgspec.json.decode(data, type=_Refused)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", ""
    if said.details or not said.errors:
        return "", said.details or ""
    first = said.errors[0]
    return (first.code or "unknown").lower().replace("_", " "), first.message or ""
