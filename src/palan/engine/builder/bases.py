"""What ``FROM`` and ``COPY --from`` name: images that are here, or come from registries."""

import base64
import binascii
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from palan.api.errors import NotFound
from palan.api.images import ImageCreate
from palan.engine.builder.options import Options
from palan.engine.builder.output import Output
from palan.engine.builder.steps import Base, base_of
from palan.engine.images.catalog import Lease
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform
from palan.engine.images.reference import parse
from palan.engine.images.stock import Stock


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Bases"]

_HUB: Final = "docker.io"
_HUBS_OTHER_NAME: Final = "index.docker.io"


class Bases:
    """The images that one build begins with or copies from; they stay as long as it takes."""

    def __init__(
        self,
        engine: "Engine",
        options: Options,
        output: Output,
        lease: Lease,
        held: contextlib.ExitStack,
    ) -> None:
        """Begin.

        Args:
            engine: the engine.
            options: the build's.
            output: gets the lines of pulls.
            lease: keeps content.
            held: keeps images.
        """
        self._engine = engine
        self._options = options
        self._output = output
        self._lease = lease
        self._held = held
        self._pulled: set[tuple[str, Platform | None]] = set()

    @property
    def stock(self) -> Stock:
        """The images of the engine."""
        return self._engine.images.stock

    def keep(self, image: Image) -> None:
        """From now on the image stays, whoever removes it."""
        self._held.enter_context(self._engine.images.hold(image))

    async def find(self, name: str, platform: Platform | None) -> Base:
        """An image by its name or id; it is pulled if it is not here.

        Args:
            name: as a Dockerfile has it.
            platform: what it has to be for; None for what the build is for.

        Raises:
            InvalidParameter: it is no name of an image.
            PalanError: it can't be pulled.
        """
        platform = platform or self._options.platform
        if not self._options.pull or (name, platform) in self._pulled:
            with contextlib.suppress(NotFound):
                return self._known(name, platform)
        await self._pull(name, platform)
        self._pulled.add((name, platform))
        return self._known(name, platform)

    def take(self, image: Image) -> Base:
        """An image that is here, to go on with; it stays."""
        self.keep(image)
        return base_of(self.stock, image, self._lease)

    def _known(self, name: str, platform: Platform | None) -> Base:
        images = self._engine.images
        return self.take(images.for_platform(name, platform) if platform else images.resolve(name))

    async def _pull(self, name: str, platform: Platform | None) -> None:
        # Imported on demand: an engine that never pulls need not know how.
        from palan.engine.images.pull import Pull  # noqa: PLC0415

        reference = parse(name).tagged()
        request = ImageCreate(
            body=_nothing(),
            from_image=str(reference),
            platform=str(platform or ""),
            registry_auth=_credentials(self._options.credentials, reference.domain),
        )
        async with contextlib.aclosing(Pull(self.stock, request).messages()) as messages:
            async for message in messages:
                await self._output.send(message)


async def _nothing() -> AsyncIterator[bytes]:
    for piece in tuple[bytes]():
        yield piece


def _credentials(header: str, domain: str) -> str:
    """What ``X-Registry-Config`` has for a registry, as ``X-Registry-Auth`` would have it.

    As with dockerd, a header that can't be read is none.
    """
    try:
        data = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
        configs: Any = msgspec.json.decode(data) if data else {}
    except (binascii.Error, ValueError, RecursionError):
        return ""
    if not isinstance(configs, dict):
        return ""
    for key, config in configs.items():
        host = key.partition("://")[2] or key
        host = host.partition("/")[0]
        if (_HUB if host == _HUBS_OTHER_NAME else host) == domain and isinstance(config, dict):
            return base64.urlsafe_b64encode(msgspec.json.encode(config)).decode()
    return ""
