"""Login (``POST /auth``): check credentials with a registry.

The root of the distribution API, ``/v2/``, is requested without credentials; the answer names
the authentication schemes. Then it is requested again with the credentials, or with a token
obtained with them. A registry for which TLS is optional is tried with TLS first.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from palan.api.auth import AuthConfig
from palan.api.errors import InternalError, PalanError
from palan.api.system import AuthResponse
from palan.registry.challenge import Challenge, parse_challenges
from palan.registry.credentials import Credentials
from palan.registry.dial import Aborter
from palan.registry.failures import TransportError
from palan.registry.names import Endpoint, endpoints, server_host
from palan.registry.proxies import Proxies
from palan.registry.tls import CERTIFICATES, tls_context
from palan.registry.tokens import fetch_token
from palan.registry.transport import Transport
from palan.registry.urls import origin_of


__all__ = ["login"]

_PATIENCE: Final = 4
"""Limit of a whole login, in timeouts: it sends two or three requests to up to two endpoints."""


class _WrongEndpoint(Exception):
    """The endpoint denies access without asking for credentials; it may be the wrong one."""


async def login(
    auth: AuthConfig,
    *,
    insecure: Callable[[str], bool],
    proxies: Proxies | None = None,
    certificates: Iterable[Path] = CERTIFICATES,
    timeout: float = 15.0,  # noqa: ASYNC109 - of each step; the whole has asyncio.timeout
) -> AuthResponse:
    """Check credentials with their registry.

    Args:
        auth: credentials and the address of the registry; "" is Docker Hub.
        insecure: whether a ``host[:port]`` may be used without TLS or with an invalid
            certificate; called in a thread, it may block.
        proxies: the proxies to use.
        certificates: directories with certificates of registries.
        timeout: seconds to wait for a connection or for the next bytes.

    Raises:
        InvalidParameter: the address or the credentials are malformed.
        Unauthorized: the registry's token server does not accept the credentials.
        InternalError: the registry does not accept them or cannot be reached; dockerd
            distinguishes the two only by the message.
        PalanError: another refusal of the token server.
    """
    credentials = Credentials.of(auth)
    host = server_host(auth.server_address)
    aborter = Aborter()

    def transport(endpoint: Endpoint) -> Transport:
        return Transport(
            tls=lambda: tls_context(
                endpoint.host, verify=endpoint.verify, certificates=certificates
            ),
            insecure=insecure,
            proxies=proxies,
            timeout=timeout,
            aborter=aborter,
        )

    def attempts() -> str:
        failure = ""
        for endpoint in endpoints(host, insecure=insecure):
            with transport(endpoint) as carrier:
                try:
                    return _attempt(carrier, endpoint, credentials, insecure)
                except (_WrongEndpoint, TransportError) as error:
                    failure = str(error)
        raise InternalError(failure)

    try:
        async with asyncio.timeout(_PATIENCE * timeout):
            identity_token = await asyncio.to_thread(attempts)
    except TimeoutError:
        raise InternalError(
            f"login attempt to {host} failed: context deadline exceeded "
            f"(no result within {_PATIENCE * timeout:g} seconds)"
        ) from None
    finally:
        # Stops a thread that is still running, also if the client has disconnected.
        aborter.abort()
    response = AuthResponse(status="Login Succeeded")
    if identity_token:
        response.identity_token = identity_token
    return response


def _attempt(
    transport: Transport,
    endpoint: Endpoint,
    credentials: Credentials,
    insecure: Callable[[str], bool],
) -> str:
    """Try one endpoint and return the identity token that it issued, "" if none.

    Raises:
        _WrongEndpoint: it denies access without asking for credentials.
        TransportError: it does not answer.
        PalanError: it asked for credentials and refused them. No further endpoint is tried,
            because the credentials must not be sent to one that is less protected.
    """
    url = endpoint.base
    with transport.open("GET", url) as response:
        status, status_text = response.status, response.status_text
        challenges = parse_challenges(response.headers.get_all("WWW-Authenticate", []))
        end = origin_of(response.url)
        if end.scheme == "https" and end.host == origin_of(url).host:
            # Redirected from plain HTTP to TLS: send the credentials there directly.
            url = response.url
    asked = status == 401
    identity_token = credentials.identity_token
    if asked and (met := _authenticate(transport, url, challenges, credentials, insecure)):
        authorization, identity_token = met
        try:
            with transport.open("GET", url, headers={"Authorization": authorization}) as response:
                status, status_text = response.status, response.status_text
        except TransportError as error:
            raise InternalError(str(error)) from None
    if status == 200:
        return identity_token
    failure = f"login attempt to {endpoint.base} failed with status: {status_text}"
    raise InternalError(failure) if asked else _WrongEndpoint(failure)


def _authenticate(
    transport: Transport,
    url: str,
    challenges: list[Challenge],
    credentials: Credentials,
    insecure: Callable[[str], bool],
) -> tuple[str, str] | None:
    """Return the ``Authorization`` header and the identity token; None for unknown schemes.

    Raises:
        PalanError: the credentials do not suffice.
    """
    if credentials.registry_token:
        # Already a bearer token: nothing to exchange.
        return f"Bearer {credentials.registry_token}", ""
    # Prefer Bearer where both are offered: it allows more and does not expose the password.
    wanted = {challenge.scheme: challenge for challenge in reversed(challenges)}
    if bearer := wanted.get("bearer"):
        # A registry without TLS receives the credentials unencrypted anyway.
        plain = (lambda _host: True) if url.startswith("http:") else insecure
        try:
            token = fetch_token(transport, bearer, credentials, plain=plain)
        except TransportError as error:
            raise InternalError(f'Get "{url}": {error}') from None
        except PalanError as error:
            raise type(error)(f'Get "{url}": {error.message}') from None
        return f"Bearer {token.value}", token.identity_token or credentials.identity_token
    if "basic" in wanted:
        if credentials.basic is None:
            raise InternalError(f'Get "{url}": no basic auth credentials')
        return credentials.basic, credentials.identity_token
    return None
