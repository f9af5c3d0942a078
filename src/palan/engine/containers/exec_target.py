"""A container as execs see it."""

from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.links import link_environment
from palan.engine.containers.record import ProcessRecord
from palan.engine.containers.spec import find_user
from palan.engine.containers.users import ResolvedUser


__all__ = ["ExecTarget"]


class ExecTarget:
    """The :class:`palan.engine.exec.surroundings.Target` of one container."""

    def __init__(self, context: ContainerContext, container: Container) -> None:
        self._context = context
        self._container = container
        self.id = container.id
        self.lock = container.lock

    @property
    def name(self) -> str:
        """The container's name, without a slash."""
        return self._container.name

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of every event of the container."""
        return self._container.attributes

    @property
    def running(self) -> bool:
        """Whether the container has processes, paused ones included."""
        return self._container.running

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""
        return self._container.paused

    @property
    def ending(self) -> bool:
        """Whether its first process has ended, and its resources are being removed."""
        return self._container.ending

    @property
    def process(self) -> ProcessRecord | None:
        """The container's first process, while it has one."""
        return self._container.record.process

    @property
    def runtime(self) -> str:
        """The name of the container's OCI runtime."""
        return self._container.record.runtime

    @property
    def hostname(self) -> str:
        """The configured host name."""
        return self._container.record.config.hostname

    def environment(self) -> list[str]:
        """Return the variables of its links and of its configuration."""
        links = link_environment(self._context, self._container)
        return [*links, *(self._container.record.config.env or ())]

    def user(self, name: str) -> ResolvedUser:
        """Find a user in the container; an empty name is the container's own.  Blocking."""
        record = self._container.record
        rootfs = self._context.paths.bundle(self.id) / "rootfs"
        return find_user(rootfs, name or record.config.user, record.host_config.group_add)

    async def wait(self) -> None:
        """Wait for the end of the container's first process, if the engine watches it."""
        if self._container.monitored is not None:
            await self._container.monitored.wait()
