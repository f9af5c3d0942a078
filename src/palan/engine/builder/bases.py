"""The images that ``FROM`` and ``COPY --from`` name, found here or pulled from registries."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from palan.api.auth import AuthConfig
from palan.api.errors import NotFound
from palan.api.images import ImageCreate
from palan.engine.builder.options import Options
from palan.engine.builder.output import Output
from palan.engine.builder.steps import Base, base_of
from palan.engine.builder.surroundings import BuilderImages
from palan.engine.images.catalog import Lease
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform
from palan.engine.images.reference import parse


__all__ = ["Bases"]

_HUB: Final = "docker.io"
_HUB_ALIAS: Final = "index.docker.io"


class Bases:
    """The images that one build begins with or copies from, kept from removal until it ends."""

    def __init__(
        self,
        images: BuilderImages,
        options: Options,
        output: Output,
        lease: Lease,
        held: contextlib.ExitStack,
    ) -> None:
        """Begin.

        Args:
            images: the engine's images.
            options: the build's.
            output: gets the lines of pulls.
            lease: keeps content.
            held: keeps images.
        """
        self._images = images
        self._options = options
        self._output = output
        self._lease = lease
        self._held = held
        self._pulled: set[tuple[str, Platform | None]] = set()

    def hold(self, image: Image) -> None:
        """Keep an image from removal until the build ends."""
        self._held.enter_context(self._images.hold(image))

    async def find(self, name: str, platform: Platform | None) -> Base:
        """Return an image by its name or id; pull it if it is not here.

        Args:
            name: the name in the Dockerfile.
            platform: the image's platform; None for the one that the build is for.

        Raises:
            InvalidParameter: the name is malformed.
            PalanError: it can't be pulled.
        """
        platform = platform or self._options.platform
        if not self._options.pull or (name, platform) in self._pulled:
            with contextlib.suppress(NotFound):
                return self._known(name, platform)
        await self._pull(name, platform)
        self._pulled.add((name, platform))
        return self._known(name, platform)

    def resolve(self, name: str) -> Base:
        """Return an image that is here, and keep it until the build ends.

        Raises:
            NotFound: there is no such image.
            InvalidParameter: the name is malformed.
        """
        return self.use(self._images.resolve(name))

    def use(self, image: Image) -> Base:
        """Return an image to base a step on, and keep it until the build ends."""
        self.hold(image)
        return base_of(self._images.context, image, self._lease)

    def _known(self, name: str, platform: Platform | None) -> Base:
        images = self._images
        return self.use(images.for_platform(name, platform) if platform else images.resolve(name))

    async def _pull(self, name: str, platform: Platform | None) -> None:
        # Imported on demand: an engine that never pulls need not load it.
        from palan.engine.images.pull import Pull  # noqa: PLC0415

        reference = parse(name).tagged()
        request = ImageCreate(
            body=_no_body(),
            from_image=str(reference),
            platform=str(platform or ""),
            registry_auth=_credentials(self._options.credentials, reference.domain),
        )
        async with contextlib.aclosing(Pull(self._images.context, request).messages()) as messages:
            async for message in messages:
                await self._output.send(message)


async def _no_body() -> AsyncIterator[bytes]:
    for piece in tuple[bytes]():
        yield piece


def _credentials(configs: Mapping[str, AuthConfig], domain: str) -> AuthConfig | None:
    """Return the credentials for a registry, found by the host of their address."""
    for address, auth in configs.items():
        host = (address.partition("://")[2] or address).partition("/")[0]
        if (_HUB if host == _HUB_ALIAS else host) == domain:
            return auth
    return None
