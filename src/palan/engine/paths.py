"""Where an engine keeps things: durable ones below its data root, the rest below its exec root.

The data root outlives a reboot; the exec root is on a tmpfs and need not.  Every
path is derived here and nowhere else, so that two engines with two roots never meet.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.host.filesystem import spread_subdirectories


__all__ = ["DEFAULT_DATA_ROOT", "DEFAULT_EXEC_ROOT", "SOCKET_PATH_MAX", "Paths"]

DEFAULT_DATA_ROOT: Final = Path("/var/lib/palan")
DEFAULT_EXEC_ROOT: Final = Path("/run/palan")

SOCKET_PATH_MAX: Final = 107
"""The longest path of a unix socket, in bytes: ``sun_path`` of unix(7) less its final NUL."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The files and directories of one engine.

    Attributes:
        data_root: absolute; durable state.
        exec_root: absolute; state of what is running now.
    """

    data_root: Path
    exec_root: Path

    # ---- durable ----------------------------------------------------------------

    @property
    def lock(self) -> Path:
        """Locked by the one engine that may use this data root."""
        return self.data_root / "lock"

    @property
    def database(self) -> Path:
        """The SQLite file with all rows."""
        return self.data_root / "palan.db"

    @property
    def containers(self) -> Path:
        """A directory for each container: its log, writable layer and files."""
        return self.data_root / "containers"

    def container(self, container_id: str) -> Path:
        """The durable directory of one container."""
        return self.containers / container_id

    def log(self, container_id: str) -> Path:
        """The log of one container, as conmon writes it."""
        return self.containers / container_id / "container.log"

    @property
    def images(self) -> Path:
        """Blobs and unpacked layers."""
        return self.data_root / "images"

    @property
    def stubs(self) -> Path:
        """The lowest layer of every container: what the runtime mounts over, empty."""
        return self.data_root / "stubs"

    @property
    def volumes(self) -> Path:
        """A directory for each volume of the driver ``local``."""
        return self.data_root / "volumes"

    @property
    def seccomp(self) -> Path:
        """Compiled seccomp filters; what is missing is made anew."""
        return self.data_root / "seccomp"

    @property
    def tmp(self) -> Path:
        """Unfinished files, on the same file system as what they become; emptied at start."""
        return self.data_root / "tmp"

    @property
    def exec_lock(self) -> Path:
        """Locked by the one engine that may use this exec root."""
        return self.exec_root / "lock"

    # ---- while running ----------------------------------------------------------

    @property
    def netns(self) -> Path:
        """Network namespaces, bind-mounted."""
        return self.exec_root / "netns"

    @property
    def firewall(self) -> Path:
        """Which back ends may have made rules that are there now."""
        return self.exec_root / "firewall"

    @property
    def bundles(self) -> Path:
        """A directory for each container: OCI bundle, pid files, mount point of its root."""
        return self.exec_root / "containers"

    def bundle(self, container_id: str) -> Path:
        """The OCI bundle of one container."""
        return self.bundles / container_id

    @property
    def merged(self) -> Path:
        """Root file systems of containers, mounted to be read for a while."""
        return self.exec_root / "merged"

    @property
    def runtime(self) -> Path:
        """State directories of the OCI runtimes (``--root``)."""
        return self.exec_root / "runtime"

    @property
    def exits(self) -> Path:
        """Where conmon reports exit codes (``--exit-dir``)."""
        return self.exec_root / "exits"

    @property
    def view(self) -> Path:
        """Where threads that look into a container, each in a namespace of its own, mount it."""
        return self.exec_root / "view"

    @property
    def plugins(self) -> Path:
        """Sockets of plugins for this engine only; who wants one makes the directory."""
        return self.exec_root / "plugins"

    # ---- all of it --------------------------------------------------------------

    @property
    def volatile(self) -> tuple[Path, ...]:
        """All that an engine makes in its exec root."""
        names = (
            *("netns", "firewall", "containers", "runtime", "exits", "view", "merged"),
            *("bin", "lock"),
        )
        return tuple(self.exec_root / name for name in names)

    @property
    def durable(self) -> tuple[Path, ...]:
        """All that an engine makes in its data root, the database last."""
        names = (
            *("containers", "images", "stubs", "volumes", "seccomp", "tmp"),
            *("runtimes.json", "lock"),
            *("palan.db-reserve", "palan.db-wal", "palan.db-shm", "palan.db"),
        )
        return tuple(self.data_root / name for name in names)

    # ---- life -------------------------------------------------------------------

    def has_lost_its_rows(self) -> bool:
        """Whether containers, images or volumes lie here, and there is no database of them.

        An engine would take all of them for what a crash has left behind.
        """
        if self.database.exists() and self.database.stat().st_size:
            return False
        places = (self.containers, self.volumes, self.images / "layers")
        return any(place.is_dir() and any(place.iterdir()) for place in places)

    def prepare(self) -> None:
        """Make the directories.

        The roots are 0711 like dockerd's: a user of a container with user namespaces
        must be able to walk through, not to look around.  What is in them is closed.
        """
        for root in (self.data_root, self.exec_root):
            root.mkdir(mode=0o711, parents=True, exist_ok=True)
        for directory, mode in (
            (self.containers, 0o710),
            (self.images, 0o710),
            (self.volumes, 0o711),
            (self.tmp, 0o700),
            (self.netns, 0o700),
            (self.bundles, 0o711),
            (self.runtime, 0o700),
            (self.exits, 0o700),
            (self.view, 0o700),
            (self.merged, 0o700),
        ):
            directory.mkdir(mode=mode, exist_ok=True)
        # Layers and writable layers begin in the one, and keep their inodes when renamed.
        for directory in (self.tmp, self.volumes):
            spread_subdirectories(directory)
