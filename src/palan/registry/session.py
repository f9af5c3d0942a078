"""One operation at one registry: its servers in the order to try them, and cancellation."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from palan.registry.credentials import Credentials
from palan.registry.dial import Aborter
from palan.registry.names import Endpoint, endpoints
from palan.registry.proxies import Proxies
from palan.registry.server import Server
from palan.registry.tls import CERTIFICATES, tls_context
from palan.registry.transport import Transport


__all__ = ["Session"]


class Session:
    """The servers of a registry. Use it in a ``with`` statement."""

    def __init__(
        self,
        host: str,
        credentials: Credentials,
        *,
        insecure: Callable[[str], bool],
        mirrors: Iterable[str] = (),
        proxies: Proxies | None = None,
        certificates: Iterable[Path] = CERTIFICATES,
        timeout: float = 30.0,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            host: the registry, ``host[:port]``.
            credentials: for the registry, never for its mirrors.
            insecure: whether a ``host[:port]`` may be used without TLS or with an invalid
                certificate; may block.
            mirrors: URLs of mirrors of Docker Hub, where they may be used.
            proxies: the proxies to use.
            certificates: directories with certificates of registries.
            timeout: seconds for each blocking call: connecting, reading the next bytes.
        """
        self.aborter = Aborter()
        self._host = host
        self._credentials = credentials
        self._insecure = insecure
        self._mirrors = tuple(mirrors)
        self._proxies = proxies
        self._certificates = tuple(certificates)
        self._timeout = timeout
        self._transports: list[Transport] = []

    def servers(self) -> list[Server]:
        """Return the servers in the order to try them. Blocks, as names may have to be resolved."""
        found = endpoints(self._host, insecure=self._insecure, mirrors=self._mirrors)
        return [self._server(endpoint) for endpoint in found]

    def _server(self, endpoint: Endpoint) -> Server:
        transport = Transport(
            tls=lambda: tls_context(
                endpoint.host, verify=endpoint.verify, certificates=self._certificates
            ),
            insecure=self._insecure,
            proxies=self._proxies,
            timeout=self._timeout,
            aborter=self.aborter,
        )
        self._transports.append(transport)
        return Server(
            endpoint,
            transport,
            Credentials() if endpoint.mirror else self._credentials,
            insecure=self._insecure,
            aborter=self.aborter,
        )

    def close(self) -> None:
        """Abort running requests and close all connections."""
        self.aborter.abort()
        for transport in self._transports:
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
