"""The docker CLI's contexts: named engines, as ``docker context create`` writes them.

``contexts/meta/<sha256 of the name>/meta.json`` has the address, and
``contexts/tls/<the same>/docker/`` the certificates.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palan.client._address import Address, parse_address
from palan.client.errors import ConfigError


if TYPE_CHECKING:
    import ssl


__all__ = ["read_context"]


def read_context(directory: str, name: str, tls: "ssl.SSLContext | None") -> Address:
    """Read the address of a context's engine.

    Args:
        directory: the directory of ``config.json`` and of the contexts.
        name: the context's name.
        tls: the TLS context of connections; None takes the certificates of the context.

    Raises:
        ConfigError: no context has that name, or it has no docker engine.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    contexts = Path(directory, "contexts")
    path = contexts / "meta" / digest / "meta.json"
    try:
        document: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f'context "{name}": context not found: {path}') from None
    except (OSError, ValueError) as error:
        raise ConfigError(f'context "{name}" cannot be read: {error}') from None
    try:
        endpoint = document["Endpoints"]["docker"]
        host = str(endpoint["Host"])
    except (KeyError, TypeError):
        raise ConfigError(f'context "{name}" has no docker engine') from None
    certificates = contexts / "tls" / digest / "docker"
    if tls is None and certificates.is_dir():
        from palan.client._tls import tls_context

        tls = tls_context(certificates, verify=not endpoint.get("SkipTLSVerify"))
    elif tls is None and host.startswith("https:"):
        import ssl

        tls = ssl.create_default_context()
    return parse_address(host, None if host.startswith(("unix:", "ssh:", "http:")) else tls)
