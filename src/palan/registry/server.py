"""One server of a registry, with authentication.

The first request is sent without credentials; the answer names the authentication schemes, and
later requests carry ``Authorization``. Bearer tokens are for a *scope*, such as pulling from one
repository; they are cached until they expire or the server rejects them.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from palan.registry.challenge import Challenge, parse_challenges
from palan.registry.credentials import Credentials
from palan.registry.dial import Aborter
from palan.registry.names import Endpoint
from palan.registry.refusals import NoCredentials
from palan.registry.tokens import fetch_token
from palan.registry.transport import Payload, Response, Transport
from palan.registry.urls import origin_of, redacted


__all__ = ["Server"]

_MARGIN: Final = 10
"""Seconds before its expiry at which a token is no longer used."""


class Server:
    """Sends authenticated requests to one server; safe to use from several threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        credentials: Credentials,
        *,
        insecure: Callable[[str], bool],
        aborter: Aborter,
    ) -> None:
        """Prepare; sends nothing.

        Args:
            endpoint: the server.
            transport: sends the requests.
            credentials: the credentials for the server.
            insecure: whether a ``host[:port]`` may receive credentials without TLS.
            aborter: aborts all requests.
        """
        self.endpoint = endpoint
        self.aborter = aborter
        self._transport = transport
        self._credentials = credentials
        self._insecure = insecure
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._basic = False
        self._tokens: dict[str, tuple[str, float]] = {}

    def url(self, path: str) -> str:
        """Return the URL of a path below ``/v2/``."""
        return self.endpoint.base + path

    def open(
        self,
        method: str,
        url: str,
        *,
        scopes: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | Payload | None = None,
    ) -> Response:
        """Send a request, authenticated as the server demands.

        A response with any status is returned, including 401.

        Args:
            method: the HTTP method.
            url: an absolute URL; on another server it is requested without credentials.
            scopes: the scopes that a token for the request must have.
            headers: additional headers.
            body: the body; sent again if the server asks for credentials.

        Raises:
            TransportError: no answer was received.
            NoCredentials: the server asks for credentials and none are known.
            PalanError: the token server refuses.
        """
        ours = origin_of(url) == origin_of(self.endpoint.base)
        used: str | None = None
        renewed = False
        while True:
            sent = dict(headers or {})
            if ours and (used := self._authorization(scopes)):
                sent["Authorization"] = used
            response = self._transport.open(method, url, headers=sent, body=body)
            if response.status != 401 or not ours or renewed:
                return response
            challenges = parse_challenges(response.headers.get_all("WWW-Authenticate", []))
            renewed = used is not None
            try:
                met = self._authenticate(
                    challenges, scopes, used, f'{method.capitalize()} "{redacted(url)}"'
                )
            except BaseException:
                response.close()
                raise
            if not met:
                return response
            response.close()

    def _authorization(self, scopes: tuple[str, ...]) -> str | None:
        with self._lock:
            if self._basic:
                return self._credentials.basic
            value, until = self._tokens.get(" ".join(scopes), ("", 0.0))
        return value if time.monotonic() < until else None

    def _authenticate(
        self,
        challenges: Iterable[Challenge],
        scopes: tuple[str, ...],
        used: str | None,
        request: str,
    ) -> bool:
        """Get what a challenge asks for; return whether a retry would send something new."""
        wanted = {challenge.scheme: challenge for challenge in challenges}
        if self._credentials.registry_token:
            # Already a bearer token: nothing to exchange.
            return self._keep(scopes, self._credentials.registry_token, float("inf"), used)
        if bearer := wanted.get("bearer"):
            # One thread at a time: the others use the token that the first one got.
            with self._fetching:
                current = self._authorization(scopes)
                return current not in (None, used) or self._fetch(bearer, scopes, used)
        if "basic" in wanted:
            if self._credentials.basic is None:
                raise NoCredentials(request)
            with self._lock:
                self._basic = True
            return used != self._credentials.basic
        return False

    def _fetch(self, bearer: Challenge, scopes: tuple[str, ...], used: str | None) -> bool:
        plain = self._insecure
        if self.endpoint.scheme == "http":
            # A registry without TLS receives the credentials unencrypted anyway.
            plain = lambda _host: True  # noqa: E731 - passed as a value
        asked = bearer.parameters.get("scope", "").split()
        token = fetch_token(
            self._transport,
            bearer,
            self._credentials,
            plain=plain,
            scopes=_merged((*scopes, *asked)),
        )
        return self._keep(scopes, token.value, token.lifetime - _MARGIN, used)

    def _keep(self, scopes: tuple[str, ...], token: str, lifetime: float, used: str | None) -> bool:
        value = f"Bearer {token}"
        with self._lock:
            self._tokens[" ".join(scopes)] = (value, time.monotonic() + lifetime)
        return value != used


def _merged(scopes: Iterable[str]) -> tuple[str, ...]:
    """Merge scopes of the same resource: ``repository:a:pull,push``."""
    actions: dict[str, dict[str, None]] = {}
    for scope in scopes:
        thing, _, allowed = scope.rpartition(":")
        actions.setdefault(thing, {}).update(dict.fromkeys(allowed.split(",")))
    return tuple(f"{thing}:{','.join(allowed)}" for thing, allowed in actions.items())
