"""Bearer tokens from a token server (the distribution project's token protocol).

There are two kinds of request: a ``GET`` with Basic authorization or none, and a ``POST`` that
exchanges an identity token with the OAuth 2 grant ``refresh_token``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from palan.api.errors import Forbidden, InternalError, PalanError, Unauthorized, Unavailable
from palan.registry.challenge import Challenge
from palan.registry.credentials import Credentials, is_bearer_token
from palan.registry.refusals import error_details
from palan.registry.transport import Response, Transport


__all__ = ["Token", "TooManyRequests", "fetch_token"]

# Some servers bind identity tokens to the client id; with dockerd's id, tokens that dockerd
# obtained and clients stored remain valid here.
_CLIENT_ID: Final = "docker"

_LIFETIME_MIN: Final = 60
"""Minimum lifetime in seconds: the protocol's default, also used for shorter ones."""

_ANSWER_MAX: Final = 1024 * 1024
_MESSAGE_MAX: Final = 1000

_REFUSALS: Final = {401: ("unauthorized", "authentication required"), 403: ("denied", "")}


class TooManyRequests(PalanError):
    """The server limits the rate of requests (429)."""

    status = 429


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token.

    Attributes:
        value: the token.
        lifetime: seconds for which it is valid from when it was fetched.
        identity_token: a refresh token to store instead of the password, if the server gave one.
    """

    value: str = field(repr=False)
    lifetime: float
    identity_token: str = field(default="", repr=False)


class _Answer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float | None = None


def fetch_token(
    transport: Transport,
    challenge: Challenge,
    credentials: Credentials,
    *,
    plain: Callable[[str], bool],
    scopes: tuple[str, ...] = (),
) -> Token:
    """Request a token from the token server that a challenge names.

    Args:
        transport: sends the request.
        challenge: a challenge of the scheme Bearer.
        credentials: the credentials for the token server.
        plain: whether a ``host[:port]`` may receive credentials without TLS.
        scopes: the scopes that the token must have. The scope in the challenge is ignored:
            for the API's root, which logins request, some registries name an example scope
            that they never grant.

    Raises:
        Unauthorized: the server does not accept the credentials.
        Forbidden: it accepts them and denies access.
        PalanError: it answers with another error, or not according to the protocol.
        TransportError: it does not answer.
    """
    realm = _realm(challenge, plain)
    service = challenge.parameters.get("service", "")
    if credentials.identity_token:
        response = _refresh(transport, realm, service, credentials, scopes)
    else:
        response = _basic(transport, realm, service, credentials, scopes)
    with response:
        if not 200 <= response.status < 400:
            raise _refusal(response, credentials)
        data = response.body(_ANSWER_MAX)
    try:
        answer = msgspec.json.decode(data, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InternalError(
            "unable to decode token response: it is not the JSON expected"
        ) from None
    value = answer.access_token or answer.token or ""
    if not is_bearer_token(value):
        raise InternalError("authorization server did not include a token in the response")
    return Token(value, max(answer.expires_in or 0, _LIFETIME_MIN), answer.refresh_token or "")


def _realm(challenge: Challenge, plain: Callable[[str], bool]) -> str:
    realm = challenge.parameters.get("realm")
    if not realm:
        raise InternalError("no realm specified for token auth challenge")
    try:
        parts = urlsplit(realm)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    except ValueError:
        valid = False
    if not valid:
        raise InternalError("invalid token auth challenge realm: it must be a URL of http or https")
    if parts.scheme == "http" and not plain(parts.netloc):
        raise InternalError(
            f"invalid token auth challenge realm: {parts.netloc} is without TLS, "
            "where credentials would be readable"
        )
    return realm


def _basic(
    transport: Transport,
    realm: str,
    service: str,
    credentials: Credentials,
    scopes: tuple[str, ...],
) -> Response:
    parts = urlsplit(realm)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if service:
        query.append(("service", service))
    query += [("scope", scope) for scope in scopes]
    query += [("offline_token", "true"), ("client_id", _CLIENT_ID)]
    headers = {}
    if credentials.basic:
        query.append(("account", credentials.username))
        headers["Authorization"] = credentials.basic
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))
    return transport.open("GET", url, headers=headers)


def _refresh(
    transport: Transport,
    realm: str,
    service: str,
    credentials: Credentials,
    scopes: tuple[str, ...],
) -> Response:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": credentials.identity_token,
        "service": service,
        "client_id": _CLIENT_ID,
        "scope": " ".join(scopes),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return transport.open("POST", realm, headers=headers, body=urlencode(form).encode())


def _refusal(response: Response, credentials: Credentials) -> PalanError:
    """Turn an error response into an API error, with the server's message made printable."""
    if response.status >= 500:
        return InternalError(f"received unexpected HTTP status: {response.status_text}")
    code, message = error_details(response.body(_ANSWER_MAX), response.headers.get_content_type())
    if not code:
        code, default = _REFUSALS.get(response.status, ("unknown", ""))
        message = message or default
    text = f"{code}: {message}" if message else code
    text = credentials.redact(re.sub(r"\s+", " ", text).strip())[:_MESSAGE_MAX]
    if response.status == 429 or code == "toomanyrequests":
        return TooManyRequests(text)
    kinds = {"unauthorized": Unauthorized, "denied": Forbidden, "unavailable": Unavailable}
    return kinds.get(code, InternalError)(text)
