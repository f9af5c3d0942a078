"""TLS contexts from the docker CLI's files ``ca.pem``, ``cert.pem`` and ``key.pem``."""

import ssl
from pathlib import Path

from palan.client.errors import ConfigError


__all__ = ["tls_context"]


def tls_context(directory: Path, *, verify: bool = True) -> ssl.SSLContext:
    """Make the TLS context for connections to an engine.

    Args:
        directory: the directory of ``ca.pem``, ``cert.pem`` and ``key.pem``; each may be absent.
        verify: check that the engine's certificate has the engine's name and is signed by that
            authority, or, without ``ca.pem``, by one that the system trusts.

    Raises:
        ConfigError: one of the files cannot be read.
    """
    context = ssl.create_default_context()
    authority = directory / "ca.pem"
    certificate, key = directory / "cert.pem", directory / "key.pem"
    try:
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif authority.exists():
            context = ssl.create_default_context(cafile=str(authority))
        if certificate.exists() or key.exists():
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates in {directory} cannot be used: {error}") from None
    return context
