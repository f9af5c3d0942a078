"""Connections to registries according to the configuration, and their errors in dockerd's words."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import structlog

from palan.api.auth import AuthConfig
from palan.api.errors import (
    Forbidden,
    InternalError,
    InvalidParameter,
    NotFound,
    PalanError,
    Unauthorized,
)
from palan.engine.images.reference import Reference
from palan.engine.images.surroundings import RegistryConfig
from palan.registry.credentials import Credentials
from palan.registry.dial import resolve
from palan.registry.failures import PlainHTTP, TransportError
from palan.registry.names import InsecureRegistries, server_host
from palan.registry.proxies import Proxies
from palan.registry.refusals import NoCredentials, Refused
from palan.registry.repository import Repository
from palan.registry.server import Server
from palan.registry.session import Session
from palan.registry.tokens import TooManyRequests


__all__ = ["credentials_for", "failure", "first_answer", "open_session"]

T = TypeVar("T")

_log = structlog.get_logger("palan.engine.images")

_ACCESS: Final = "repository does not exist or may require authorization"


def open_session(
    config: RegistryConfig,
    domain: str,
    auth: AuthConfig | None,
    *,
    mirrors: bool = False,
    timeout: float = 30.0,
) -> Session:
    """Open a session with a registry.

    Args:
        config: the engine's configuration.
        domain: the registry, as in names of images.
        auth: the client's credentials.
        mirrors: whether mirrors of Docker Hub may be asked.
        timeout: seconds to wait for an answer, or for its next bytes.

    Raises:
        InvalidParameter: the name of the registry is malformed.
    """
    return Session(
        server_host(domain),
        credentials_for(auth, domain),
        insecure=InsecureRegistries(config.insecure_registries, resolve),
        mirrors=config.registry_mirrors if mirrors else (),
        timeout=timeout,
        proxies=Proxies.configured(
            os.environ, http=config.http_proxy, https=config.https_proxy, no_proxy=config.no_proxy
        ),
    )


def credentials_for(auth: AuthConfig | None, domain: str) -> Credentials:
    """Return the client's credentials, or empty ones if they are for another registry.

    As in dockerd, malformed credentials are ignored.
    """
    if auth is None:
        return Credentials()
    try:
        hosts = {server_host(auth.server_address or domain), server_host(domain)}
        if len(hosts) > 1 and not hosts <= _HUB:
            _log.warning("credentials for another registry are not used", registry=domain)
            return Credentials()
        return Credentials.of(auth)
    except (ValueError, InvalidParameter):
        _log.warning("credentials that make no sense are ignored")
        return Credentials()


_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


def first_answer(
    servers: Sequence[Server], name: str, ask: Callable[[Repository], T], *, push: bool = False
) -> tuple[T, list[Repository]]:
    """Ask servers until one answers.  Blocking.

    Args:
        servers: the servers, in the order in which to ask them.
        name: the repository's path.
        ask: the function that asks a server.
        push: whether a token for pushing is needed.

    Returns:
        The answer, and the repository at the server that gave it followed by those at the
        servers after it, which may be asked for the rest.

    Raises:
        Refused: the last server that answered did not answer well.
        TransportError: no server can be reached; the error of the first one.
        NoCredentials: the server requires credentials.
        PalanError: a token server refuses.
    """
    repositories = [Repository(server, name, push=push) for server in servers]
    failed: Exception | None = None
    for number, repository in enumerate(repositories):
        mirror = repository.server.endpoint.mirror
        try:
            return ask(repository), repositories[number:]
        except TransportError as error:
            if repository.server.aborter.aborted:
                raise
            # The error of plain HTTP matters only if the server speaks plain HTTP.
            if failed is None or isinstance(failed, PlainHTTP):
                failed = error
        except (Refused, NoCredentials, PalanError) as error:
            if not mirror:
                raise
            _log.info(
                "a mirror does not have it",
                mirror=repository.server.endpoint.host,
                error=str(error),
            )
    assert failed is not None  # noqa: S101 - at least one server is not a mirror
    raise failed


@contextmanager
def failure(reference: Reference, action: str, doing: str = "") -> Iterator[None]:
    """Translate errors of a registry into those that dockerd gives.

    Args:
        reference: the image or repository.
        action: ``pull`` or ``push``.
        doing: the step that failed, with which the message begins; empty for none.

    Raises:
        PalanError: the translated error.
    """
    prefix = f"{doing}: " if doing else ""
    try:
        yield
    except NoCredentials:
        raise InternalError(
            f"{prefix}{action} access denied, {_ACCESS}: authorization failed: no basic auth"
            " credentials"
        ) from None
    except Refused as refusal:
        raise _refusal(refusal, reference, action, prefix) from None
    except TransportError as error:
        raise InternalError(f"{prefix}failed to do request: {error}") from None
    except (Unauthorized, Forbidden) as error:
        raise type(error)(
            f"{prefix}{action} access denied, {_ACCESS}: authorization failed: {error.message}"
        ) from None
    except PalanError as error:
        raise type(error)(prefix + error.message) from None


def _refusal(refusal: Refused, reference: Reference, action: str, prefix: str) -> PalanError:
    if refusal.status == 404:
        return NotFound(f"{prefix}{reference}: not found")
    if refusal.status == 429:
        return TooManyRequests(f"{prefix}{refusal.description or refusal}")
    words = f": {refusal.description}" if refusal.description else ""
    if refusal.status == 403 or refusal.code in ("denied", "unauthorized"):
        return NotFound(
            f"{action} access denied for {reference.familiar_repository}, repository does not"
            f" exist or may require 'docker login'{words}"
        )
    return InternalError(f"unknown: {prefix}{refusal}{words}")
