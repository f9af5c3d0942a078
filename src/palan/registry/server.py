"""One server of a registry, and being let in by it.

A server says what it wants to see when it is first asked without; from then on that is
sent along.  Bearer tokens are for a *scope*, such as pulling from one repository; they
are kept while they are good, and fetched again when the server no longer takes them.
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
from palan.registry.urls import origin_of, shown


__all__ = ["Server"]

_MARGIN: Final = 10
"""Seconds before its end when a token is no longer used."""


class Server:
    """Asks one server; may be used by several threads at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        credentials: Credentials,
        *,
        insecure: Callable[[str], bool],
        aborter: Aborter,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            endpoint: the server.
            transport: carries the requests.
            credentials: whom to say to be.
            insecure: whether a ``host[:port]`` may be told credentials without TLS.
            aborter: calls everything off.
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
        """The URL of a path below ``/v2/``."""
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
        """Send a request, with what the server wants to see.

        An answer of any status is no error here, also if it is that one is not let in.

        Args:
            method: of HTTP.
            url: where to; one elsewhere is not told who is asking.
            scopes: what a token for it has to allow.
            headers: more headers.
            body: the body; sent again when the server asked for credentials only then.

        Raises:
            TransportError: no answer came.
            NoCredentials: the server wants some, and there are none.
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
                met = self._meet(challenges, scopes, used, f'{method.capitalize()} "{shown(url)}"')
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

    def _meet(
        self,
        challenges: Iterable[Challenge],
        scopes: tuple[str, ...],
        used: str | None,
        request: str,
    ) -> bool:
        """Get what the server wants; whether there is anything new to show it."""
        wanted = {challenge.scheme: challenge for challenge in challenges}
        if self._credentials.registry_token:
            # Not to be traded for anything: it is what such a trade ends in.
            return self._keep(scopes, self._credentials.registry_token, float("inf"), used)
        if bearer := wanted.get("bearer"):
            # One at a time: the others will find what the first one got.
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
            # A registry without TLS gives its credentials away itself.
            plain = lambda _host: True  # noqa: E731 - it is a value here
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
    """Scopes with those of the same thing made one: ``repository:a:pull,push``."""
    actions: dict[str, dict[str, None]] = {}
    for scope in scopes:
        thing, _, allowed = scope.rpartition(":")
        actions.setdefault(thing, {}).update(dict.fromkeys(allowed.split(",")))
    return tuple(f"{thing}:{','.join(allowed)}" for thing, allowed in actions.items())
