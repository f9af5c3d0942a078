"""``POST /auth``: check credentials with their registry."""

import os

from palan.api.auth import AuthConfig
from palan.api.system import AuthResponse
from palan.engine.images.surroundings import RegistryConfig


__all__ = ["login"]


async def login(config: RegistryConfig, auth: AuthConfig) -> AuthResponse:
    """Check credentials with their registry.

    Args:
        config: how registries are reached.
        auth: the credentials, and the registry's address.

    Raises:
        PalanError: as :func:`palan.registry.login.login` does.
    """
    # Imported on demand: few engines ever log in, and the import would delay every start.
    from palan.registry.dial import resolve  # noqa: PLC0415
    from palan.registry.login import login as registry_login  # noqa: PLC0415
    from palan.registry.names import InsecureRegistries  # noqa: PLC0415
    from palan.registry.proxies import Proxies  # noqa: PLC0415

    return await registry_login(
        auth,
        insecure=InsecureRegistries(config.insecure_registries, resolve),
        proxies=Proxies.configured(
            os.environ, http=config.http_proxy, https=config.https_proxy, no_proxy=config.no_proxy
        ),
    )
