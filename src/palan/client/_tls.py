"""Certificates as the docker CLI has them: ``ca.pem``, ``cert.pem`` and ``key.pem``."""

import ssl
from pathlib import Path

from palan.client.errors import ConfigError


__all__ = ["tls_context"]


def tls_context(directory: Path, *, verify: bool = True) -> ssl.SSLContext:
    """What to make connections to an engine safe with.

    Args:
        directory: where ``ca.pem``, ``cert.pem`` and ``key.pem`` are, each if there is one.
        verify: see that the engine's certificate is of that authority, or of one that the
            system trusts, and has the engine's name.

    Raises:
        ConfigError: one of them cannot be read.
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
