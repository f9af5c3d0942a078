"""The table of all containers: look-up by id, short id or name, and reserved names."""

import re
from collections.abc import Iterator

from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.engine.containers.container import Container


__all__ = ["ContainerRegistry"]

_SHORT_ID = re.compile(r"[0-9a-f]{1,64}")


class ContainerRegistry:
    """All containers of the engine, in the order of their creation."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self._names: dict[str, str] = {}

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, reference: str) -> Container:
        """Return the container with this id, name or unambiguous beginning of an id.

        Raises:
            NotFound: there is no such container.
            InvalidParameter: the reference is empty, or fits several ids.
        """
        if not reference:
            raise InvalidParameter('invalid name or ID supplied: ""')
        name = reference.removeprefix("/")
        key = reference if reference in self._by_id else self._names.get(name)
        if key is not None and key in self._by_id:
            return self._by_id[key]
        if _SHORT_ID.fullmatch(reference):
            matches = [c for i, c in self._by_id.items() if i.startswith(reference)]
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise InvalidParameter(f"multiple IDs found with provided prefix: {reference}")
        raise NotFound(f"No such container: {reference}")

    def find(self, reference: str) -> Container | None:
        """Like :meth:`get`, but return None if there is no such container."""
        try:
            return self.get(reference)
        except NotFound:
            return None

    def reserve(self, name: str, owner: str) -> None:
        """Reserve a name before its container exists, so that two creates can't both get it.

        Raises:
            Conflict: the name is in use.
        """
        holder = self._names.setdefault(name, owner)
        if holder != owner:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container'
                f' "{holder}". You have to remove (or rename) that container to be able to'
                " reuse that name."
            )

    def release(self, name: str) -> None:
        """Release a name."""
        self._names.pop(name, None)

    def is_free(self, name: str) -> bool:
        """Whether no container has that name."""
        return name not in self._names

    def add(self, container: Container) -> None:
        """Add a container under its id and name."""
        self._by_id[container.id] = container
        self._names[container.name] = container.id

    def discard(self, container: Container) -> None:
        """Discard a container and release its name."""
        self._by_id.pop(container.id, None)
        if self._names.get(container.name) == container.id:
            del self._names[container.name]
