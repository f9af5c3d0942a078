"""The stages of a build that are finished."""

from palan.api.errors import InvalidParameter
from palan.engine.builder.bases import Bases
from palan.engine.builder.steps import Base


__all__ = ["Stages"]


class Stages:
    """The images of finished stages, by number and by name."""

    def __init__(self, bases: Bases) -> None:
        self._bases = bases
        self._finished: list[Base] = []
        self._named: dict[str, Base] = {}

    def check_name(self, name: str) -> None:
        """Raise ``InvalidParameter`` if a finished stage has this name."""
        if name and name in self._named:
            raise InvalidParameter(f"{name} stage name already used")

    def add(self, name: str, base: Base) -> None:
        """Add a finished stage; its name may be empty."""
        self.check_name(name)
        if name:
            self._named[name] = base
        self._finished.append(base)

    def named(self, name: str) -> Base | None:
        """Return the stage of that name, None if no finished stage has it."""
        return self._named.get(name.lower())

    async def find(self, name: str) -> Base:
        """Return what ``COPY --from`` names: a stage by name or number, or an image.

        Raises:
            InvalidParameter: there is no such stage.
            PalanError: there is no such image, and it can't be pulled.
        """
        if (stage := self.named(name)) is not None:
            return stage
        if name.removeprefix("-").isascii() and name.removeprefix("-").isdecimal():
            number = int(name[:9])
            if number == len(self._finished):
                raise InvalidParameter("refers to current build stage")
            if not 0 <= number < len(self._finished):
                raise InvalidParameter("index out of bounds")
            return self._finished[number]
        return await self._bases.find(name, None)
