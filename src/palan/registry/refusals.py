"""Error responses of servers: their status, code and message."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from palan.registry.challenge import parse_challenges
from palan.registry.failures import TransportError
from palan.registry.transport import Response
from palan.registry.urls import redacted


__all__ = ["NoCredentials", "Refused", "error_details", "read_refusal"]

_ANSWER_MAX: Final = 1024 * 1024
_MESSAGE_MAX: Final = 1000
_TEMPORARY: Final = frozenset({408, 429, 500, 502, 503, 504})


class NoCredentials(Exception):
    """The server asks for credentials and none are known for it."""

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
    """The server answered with an unexpected status.

    Attributes:
        method: the method of the request.
        url: the URL of the request, without secrets.
        status: the HTTP status.
        code: the error code of the distribution specification, as dockerd writes it:
            in lower case, with spaces.
        message: the server's message.
        retry_after: seconds to wait before a retry; 0 if the server gives no time.
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
        """The status with its usual phrase: ``401 Unauthorized``."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def description(self) -> str:
        """The code and the message, ``manifest unknown: manifest unknown``, if there are any."""
        return ": ".join(part for part in (self.code, self.message) if part)

    @property
    def temporary(self) -> bool:
        """Whether a retry may succeed."""
        return self.status in _TEMPORARY


def read_refusal(method: str, response: Response) -> Refused:
    """Turn an error response into an exception; reads and closes the response."""
    with response:
        code, message = "", ""
        if method != "HEAD":
            try:
                body = response.body(_ANSWER_MAX)
            except TransportError:
                body = b""
            code, message = error_details(body, response.headers.get_content_type())
        if response.status == 401 and not code:
            # A response to HEAD has no body; the challenge may say why the token was rejected.
            for challenge in parse_challenges(response.headers.get_all("WWW-Authenticate", [])):
                if challenge.scheme == "bearer":
                    code, message = "denied", challenge.parameters.get("error", "")
        wait = response.headers.get("Retry-After", "")
        return Refused(
            method,
            redacted(response.url),
            response.status,
            code,
            re.sub(r"\s+", " ", message).strip()[:_MESSAGE_MAX],
            float(wait) if wait.isdecimal() and len(wait) < 9 else 0.0,
        )


def error_details(data: bytes, content_type: str) -> tuple[str, str]:
    """Return the error code, in dockerd's spelling, and the message of an error body."""
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
