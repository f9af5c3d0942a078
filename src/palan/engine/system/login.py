"""``POST /auth``: credentials are checked with their registry, as the engine is configured."""

import os
from typing import TYPE_CHECKING

from palan.api.system import AuthConfig, AuthResponse


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["login"]


async def login(engine: "Engine", auth: AuthConfig) -> AuthResponse:
    """Check credentials with their registry.

    Raises:
        PalanError: as :func:`palan.registry.login.login` does.
    """
    # Imported on demand: most engines never log in anywhere, and all of them start.
    from palan.registry.dial import resolve  # noqa: PLC0415
    from palan.registry.login import login as registry_login  # noqa: PLC0415
    from palan.registry.names import InsecureRegistries  # noqa: PLC0415
    from palan.registry.proxies import Proxies  # noqa: PLC0415

    config = engine.config
    return await registry_login(
        auth,
        insecure=InsecureRegistries(config.insecure_registries, resolve),
        proxies=Proxies.configured(
            os.environ, http=config.http_proxy, https=config.https_proxy, no_proxy=config.no_proxy
        ),
    )
