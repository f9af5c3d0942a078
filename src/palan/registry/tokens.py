"""Bearer tokens: what a token server gives for credentials (distribution's token protocol).

There are two ways to ask.  A name and password, or nothing at all, go as Basic
authorization of a ``GET``; an identity token is traded in with OAuth 2's grant
``refresh_token`` in a ``POST``.
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
from palan.registry.refusals import complaint
from palan.registry.transport import Response, Transport


__all__ = ["Token", "TooManyRequests", "fetch_token"]

# Identity tokens are bound to it at some servers; those that dockerd obtained, and
# clients keep, go on being good here.
_CLIENT_ID: Final = "docker"

_LIFETIME_MIN: Final = 60
"""Seconds; what a token without or with a shorter term is good for, by the protocol."""

_ANSWER_MAX: Final = 1024 * 1024
_MESSAGE_MAX: Final = 1000

_REFUSALS: Final = {401: ("unauthorized", "authentication required"), 403: ("denied", "")}


class TooManyRequests(PalanError):
    """The server wants to be left alone for a while (429)."""

    status = 429


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token.

    Attributes:
        value: what to send.
        lifetime: seconds from when it was fetched for which it is good.
        identity_token: to be kept instead of the password, where the server gave one.
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
    """Ask the token server that a challenge names for a token.

    Args:
        transport: carries the request.
        challenge: one of the scheme Bearer.
        credentials: for the token server.
        plain: whether a ``host[:port]`` may be told credentials without TLS.
        scopes: what the token is to allow.  The one in the challenge is not asked for:
            in front of the API's root, where logins go, some registries name an
            example there that nobody is allowed.

    Raises:
        Unauthorized: the server does not accept the credentials.
        Forbidden: it knows them, and refuses.
        PalanError: of other kinds, where it does not do as it should.
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
    """What a refusal means, with the server's own words as far as they are fit to print."""
    if response.status >= 500:
        return InternalError(f"received unexpected HTTP status: {response.status_text}")
    code, message = complaint(response.body(_ANSWER_MAX), response.headers.get_content_type())
    if not code:
        code, default = _REFUSALS.get(response.status, ("unknown", ""))
        message = message or default
    text = f"{code}: {message}" if message else code
    text = credentials.redact(re.sub(r"\s+", " ", text).strip())[:_MESSAGE_MAX]
    if response.status == 429 or code == "toomanyrequests":
        return TooManyRequests(text)
    kinds = {"unauthorized": Unauthorized, "denied": Forbidden, "unavailable": Unavailable}
    return kinds.get(code, InternalError)(text)
