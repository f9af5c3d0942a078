"""The files and directories of an engine: durable ones in its data root, others in its exec root.

The data root outlives a reboot; the exec root, on a tmpfs, need not.  Every path is
derived here and nowhere else, so that engines with different roots share nothing.
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
        """The file that the one engine with this data root locks."""
        return self.data_root / "lock"

    @property
    def database(self) -> Path:
        """The SQLite file with all rows."""
        return self.data_root / "palan.db"

    @property
    def containers(self) -> Path:
        """The parent of the containers' directories, each with log, writable layer and files."""
        return self.data_root / "containers"

    def container(self, container_id: str) -> Path:
        """Return the durable directory of one container."""
        return self.containers / container_id

    def log(self, container_id: str) -> Path:
        """Return the log of one container, written by conmon."""
        return self.containers / container_id / "container.log"

    @property
    def images(self) -> Path:
        """The directory of blobs and unpacked layers."""
        return self.data_root / "images"

    @property
    def stubs(self) -> Path:
        """The lowest layer of every container: empty mount points for the runtime."""
        return self.data_root / "stubs"

    @property
    def volumes(self) -> Path:
        """The parent of the directories of volumes with the driver ``local``."""
        return self.data_root / "volumes"

    @property
    def seccomp(self) -> Path:
        """A cache of compiled seccomp filters."""
        return self.data_root / "seccomp"

    @property
    def set_aside(self) -> Path:
        """The parent of directories that no row describes, although they contain something."""
        return self.data_root / "set-aside"

    @property
    def tmp(self) -> Path:
        """A directory for unfinished files, on the data root's file system; emptied at start."""
        return self.data_root / "tmp"

    @property
    def exec_lock(self) -> Path:
        """The file that the one engine with this exec root locks."""
        return self.exec_root / "lock"

    # ---- while running ----------------------------------------------------------

    @property
    def netns(self) -> Path:
        """The directory of bind-mounted network namespaces."""
        return self.exec_root / "netns"

    @property
    def firewall(self) -> Path:
        """The file with the names of the firewall back ends that may have written rules."""
        return self.exec_root / "firewall"

    @property
    def bundles(self) -> Path:
        """The parent of the OCI bundles, each with pid files and the mount point of the root."""
        return self.exec_root / "containers"

    def bundle(self, container_id: str) -> Path:
        """Return the OCI bundle of one container."""
        return self.bundles / container_id

    @property
    def merged(self) -> Path:
        """The directory of root file systems that are mounted temporarily to be read."""
        return self.exec_root / "merged"

    @property
    def runtime(self) -> Path:
        """The parent of the OCI runtimes' state directories (``--root``)."""
        return self.exec_root / "runtime"

    @property
    def exits(self) -> Path:
        """The directory in which conmon writes exit codes (``--exit-dir``)."""
        return self.exec_root / "exits"

    @property
    def view(self) -> Path:
        """A mount point for threads that read layers, each in its own mount namespace."""
        return self.exec_root / "view"

    @property
    def plugins(self) -> Path:
        """The directory of sockets of plugins for this engine only; created by their users."""
        return self.exec_root / "plugins"

    # ---- all of it --------------------------------------------------------------

    @property
    def volatile(self) -> tuple[Path, ...]:
        """All entries that an engine creates in its exec root."""
        names = (
            *("netns", "firewall", "containers", "runtime", "exits", "view", "merged"),
            *("bin", "lock"),
        )
        return tuple(self.exec_root / name for name in names)

    @property
    def durable(self) -> tuple[Path, ...]:
        """All entries that an engine creates in its data root, the database last."""
        names = (
            *("containers", "images", "stubs", "volumes", "seccomp", "set-aside", "tmp"),
            *("runtimes.json", "lock"),
            *("palan.db-reserve", "palan.db-wal", "palan.db-shm", "palan.db"),
        )
        return tuple(self.data_root / name for name in names)

    # ---- life -------------------------------------------------------------------

    def has_lost_its_rows(self) -> bool:
        """Whether containers, images or volumes exist but the database does not.

        An engine would take all of them for leftovers of a crash, and delete them.
        """
        if self.database.exists() and self.database.stat().st_size:
            return False
        places = (self.containers, self.volumes, self.images / "layers")
        return any(place.is_dir() and any(place.iterdir()) for place in places)

    def prepare(self) -> None:
        """Create the directories.

        The roots have mode 0711, like dockerd's: users of containers with user namespaces
        must be able to traverse them, but not to list them.  Their entries have mode 0700.
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
        # Layers are created in tmp and keep their inodes when they are renamed.
        for directory in (self.tmp, self.volumes):
            spread_subdirectories(directory)
