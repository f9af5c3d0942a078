"""Logging in (``POST /auth``): do these credentials open this registry?

What is asked for is the root of the distribution API, ``/v2/``, which says in what way
it wants to be convinced; then it is asked for again with the credentials, or with a
token that they bought.  A registry that may go without TLS is tried with it first.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from palan.api.errors import InternalError, PalanError
from palan.api.system import AuthConfig, AuthResponse
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
"""How many timeouts a whole login may take: it asks twice to three times, at two endpoints."""


class _NotHere(Exception):
    """This endpoint asks for no credentials and lets nobody in: it may be the wrong one."""


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
        auth: credentials and the address of the registry; none is Docker Hub.
        insecure: whether a ``host[:port]`` may go without TLS or a good certificate;
            called in a thread, it may block.
        proxies: the proxies to use.
        certificates: directories with certificates of registries.
        timeout: seconds to wait for a connection or for the next bytes.

    Raises:
        InvalidParameter: the address or the credentials cannot be any.
        Unauthorized: the registry's token server does not accept the credentials.
        InternalError: the registry does not accept them, or cannot be asked; dockerd
            tells the two apart by the message only.
        PalanError: of other kinds, as the token server refuses.
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
                except (_NotHere, TransportError) as error:
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
        # For a thread that is still at it; also when the client has gone.
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
    """Try one endpoint; the identity token that came of it, if any.

    Raises:
        _NotHere: it answers, but neither lets in nor asks for credentials.
        TransportError: it does not answer.
        PalanError: it asked for credentials, and refused.  Final: they are not shown
            to a less protected endpoint then.
    """
    url = endpoint.base
    with transport.open("GET", url) as response:
        status, status_text = response.status, response.status_text
        challenges = parse_challenges(response.headers.get_all("WWW-Authenticate", []))
        end = origin_of(response.url)
        if end.scheme == "https" and end.host == origin_of(url).host:
            # Redirected from plain HTTP: credentials go straight to where TLS is.
            url = response.url
    asked = status == 401
    identity_token = credentials.identity_token
    if asked and (met := _meet(transport, url, challenges, credentials, insecure)):
        authorization, identity_token = met
        try:
            with transport.open("GET", url, headers={"Authorization": authorization}) as response:
                status, status_text = response.status, response.status_text
        except TransportError as error:
            raise InternalError(str(error)) from None
    if status == 200:
        return identity_token
    failure = f"login attempt to {endpoint.base} failed with status: {status_text}"
    raise InternalError(failure) if asked else _NotHere(failure)


def _meet(
    transport: Transport,
    url: str,
    challenges: list[Challenge],
    credentials: Credentials,
    insecure: Callable[[str], bool],
) -> tuple[str, str] | None:
    """What to send as ``Authorization``, and the identity token; None if nothing is known to help.

    Raises:
        PalanError: what is wanted was not to be had.
    """
    if credentials.registry_token:
        # Not to be traded for anything: it is what such a trade ends in.
        return f"Bearer {credentials.registry_token}", ""
    # Bearer first: where both are offered, a token opens more and tells less.
    wanted = {challenge.scheme: challenge for challenge in reversed(challenges)}
    if bearer := wanted.get("bearer"):
        # A registry without TLS gives its credentials away itself.
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
