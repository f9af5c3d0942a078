"""Extraction of archive entries into one directory, and nowhere else.

No name of an archive is passed to the kernel unchanged. A name is cleaned (one that leaves the
root is refused), and its parent directories are checked one by one: a symbolic link among them is
resolved here, as if the root were ``/``, and the last component is never followed. This needs no
privileges; as root, the child that runs this is also chrooted (:mod:`palan.host.archive.child`),
which protects against others that change the tree at the same time.

An image layer marks removals from lower layers by names: ``.wh.<name>`` removes ``<name>``,
``.wh..wh..opq`` all lower content of its directory (OCI image specification, "Layer Filesystem
Changeset"). In ``overlay`` mode these become the forms of overlayfs: a character device 0/0 and
an extended attribute.
"""

# Thousands of files a second: strings and system calls, no path objects.
# ruff: noqa: PTH101, PTH102, PTH106, PTH108, PTH115, PTH211

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final, Literal

from palan.host.archive.headers import ArchiveError, Entry, Kind, Truncated
from palan.host.archive.reader import TarReader
from palan.host.archive.space import SpaceWatch


__all__ = ["OPAQUE", "WHITEOUT", "Extractor", "Whiteouts", "clean"]

Whiteouts = Literal["overlay", "keep"]

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"

_MAX_LINKS: Final = 40
_MAX_DEPTH: Final = 2048
_MAX_STEPS: Final = 1024
"""Maximum number of path components that links may add to a path, in all."""

_MAX_PATHS: Final = 32 << 20
"""Maximum length of all paths to report together, in characters."""

_DIRECTORY_SIZE: Final = 4096
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ALLOWED_XATTRS: Final = frozenset(
    ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
)


def clean(name: str) -> str:
    """Return ``name`` relative to the root, without ``.``, ``..`` and extra slashes.

    The root itself is "".

    Raises:
        ArchiveError: the name leaves the root, or is longer than Linux allows.
    """
    if len(name) > 4096:
        raise ArchiveError("path is too long")
    parts: list[str] = []
    for part in name.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if not parts:
                raise ArchiveError(f"path {name!r} leaves the root of the archive")
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


class _Directory:
    """A directory that is known to exist and to be no link.

    The known directories are a tree, so that removing one forgets all below it in one step.

    Attributes:
        children: the known directories in it, by name; None for an empty dict.
        metadata: mode and time (nanoseconds) to set in the end; None to leave them.
        implicit: it was created for its content, without an entry of its own.
    """

    __slots__ = ("children", "implicit", "metadata")

    def __init__(self, *, implicit: bool = False) -> None:
        self.children: dict[str, _Directory] | None = None
        self.metadata: tuple[int, int] | None = None
        self.implicit = implicit

    def child(self, name: str) -> "_Directory | None":
        return self.children.get(name) if self.children is not None else None

    def add(self, name: str, *, implicit: bool = False) -> "_Directory":
        if self.children is None:
            self.children = {}
        made = self.children[name] = _Directory(implicit=implicit)
        return made

    def discard(self, name: str) -> None:
        if self.children is not None:
            self.children.pop(name, None)


class _Place:
    """The place of an entry: a real directory and a name in it."""

    __slots__ = ("directory", "name", "path")

    def __init__(self, directory: _Directory, real: str, name: str) -> None:
        self.directory = directory
        self.name = name
        self.path = f"{real}/{name}" if real else name


class Extractor:
    """Extracts archives into one directory.

    The work for an entry is bounded by the length of its name and data, and not by what was
    extracted before: archives are not trusted.

    Attributes:
        entries: number of extracted entries.
        size: sum of the nominal sizes of all files in bytes.
        lower_links: hard links to files that only lower layers have, and the paths of these files.
        lookups: number of path components that were looked up, for tests.
    """

    def __init__(
        self,
        root: str,
        *,
        whiteouts: Whiteouts = "keep",
        opaque_xattr: str = "trusted.overlay.opaque",
        max_entries: int = 5_000_000,
        no_overwrite_dir_non_dir: bool = False,
        owner: tuple[int, int] | None = None,
        keep_root: bool = False,
    ) -> None:
        """Prepare; extracts nothing.

        Args:
            root: the directory to extract into; "/" after a chroot.
            whiteouts: the meaning of ``.wh.`` names; ``keep`` makes them ordinary names.
            opaque_xattr: overlayfs's attribute for a directory that hides lower content.
            max_entries: maximum number of entries.
            no_overwrite_dir_non_dir: refuse to replace a directory by something else
                or something else by a directory.
            owner: user and group of all files, instead of those in the archive.
            keep_root: keep owner, mode and time of the root, ignoring its entry in the archive.
        """
        self.entries = 0
        self.size = 0
        self.lower_links: list[tuple[str, str]] = []
        self.lookups = 0
        self._root = root.rstrip("/")
        self._overlay = whiteouts == "overlay"
        self._opaque_xattr = opaque_xattr
        self._max_entries = max_entries
        self._strict = no_overwrite_dir_non_dir
        self._owner = owner
        self._keep_root = keep_root
        self._privileged = os.geteuid() == 0
        self._tree = _Directory(implicit=True)
        self._made = 0
        self._paths = 0
        # The last path that was looked up; most entries follow others of the same directory.
        self._last: tuple[str, _Directory, str] | None = None
        self._space = SpaceWatch(self._root or "/")

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    # ---- paths --------------------------------------------------------------------

    def _directory(self, path: str) -> tuple[_Directory, str]:
        """Return the directory ``path`` and its real path; create it if it is missing."""
        last = self._last
        if last is None or last[0] != path:
            last = self._last = (path, *self._walk(path))
        return last[1], last[2]

    def _place(self, path: str) -> _Place:
        parent, _, name = path.rpartition("/")
        return _Place(*self._directory(parent), name)

    def _walk(self, path: str) -> tuple[_Directory, str]:
        """Walk to the directory ``path``; links are resolved within the root."""
        links = 0
        pending = path.split("/")[::-1]
        steps = len(pending) + _MAX_STEPS
        here = [self._tree]
        names: list[str] = []
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            steps -= 1
            self.lookups += 1
            if steps < 0 or len(names) > _MAX_DEPTH:
                raise ArchiveError("path is too deep")
            if part == "..":
                if names:
                    names.pop()
                    here.pop()
                continue
            child = here[-1].child(part)
            if child is None:
                target = self._look_up(_Place(here[-1], "/".join(names), part))
                if target is not None:
                    links += 1
                    if links > _MAX_LINKS:
                        raise ArchiveError(f"too many symbolic links on the way to {path!r}")
                    if target.startswith("/"):
                        del names[:], here[1:]
                    pending.extend(target.split("/")[::-1])
                    continue
                child = here[-1].child(part) or here[-1].add(part)
            names.append(part)
            here.append(child)
        return here[-1], "/".join(names)

    def _look_up(self, place: _Place) -> str | None:
        """Make sure that a directory is there; return the target if it is a symbolic link."""
        full = self._at(place.path)
        try:
            mode = os.lstat(full).st_mode
        except FileNotFoundError:
            self._make_implicit(place)
            return None
        if stat.S_ISLNK(mode):
            return os.readlink(full)
        if not stat.S_ISDIR(mode):
            self._replace_whiteout(place)
        return None

    def _replace_whiteout(self, place: _Place) -> None:
        """Replace a whiteout by a directory; lower content stays hidden."""
        full = self._at(place.path)
        info = os.lstat(full)
        if not (self._overlay and stat.S_ISCHR(info.st_mode) and info.st_rdev == 0):
            raise ArchiveError(f"{place.path!r} is not a directory")
        os.unlink(full)
        self._make_implicit(place)
        self._make_opaque(place.path)

    def _make_implicit(self, place: _Place) -> None:
        # These count as entries, because a short name may require many.
        self._made += 1
        if self.entries + self._made > self._max_entries:
            raise ArchiveError(f"archive has more than {self._max_entries} entries")
        self._space.check(_DIRECTORY_SIZE)
        full = self._at(place.path)
        os.mkdir(full, 0o755)
        if self._owner:
            os.lchown(full, *self._owner)
        place.directory.add(place.name, implicit=True)

    def _make_opaque(self, path: str) -> None:
        try:
            os.setxattr(self._at(path), self._opaque_xattr, b"y", follow_symlinks=False)
        except PermissionError:
            if self._privileged:
                raise

    def _clear(self, place: _Place, *, directory_wanted: bool) -> int:
        """Make room for an entry.

        Returns:
            The mode of an existing directory that is kept, -1 if a whiteout was removed, else 0.
        """
        full = self._at(place.path)
        try:
            info = os.lstat(full)
        except FileNotFoundError:
            return 0
        if stat.S_ISDIR(info.st_mode):
            if directory_wanted:
                return info.st_mode
            if self._strict:
                raise ArchiveError(
                    f'cannot overwrite directory "{place.path}" with non-directory'
                    f' "{self._root or "/"}"'
                )
            _remove_tree(full)
            place.directory.discard(place.name)
            self._last = None
            return 0
        if directory_wanted and self._strict:
            raise ArchiveError(
                f'cannot overwrite non-directory "{place.path}" with directory'
                f' "{self._root or "/"}"'
            )
        if stat.S_ISLNK(info.st_mode):
            self._last = None
        os.unlink(full)
        if directory_wanted and self._overlay and stat.S_ISCHR(info.st_mode) and not info.st_rdev:
            return -1
        return 0

    # ---- entries ------------------------------------------------------------------

    def unpack(self, reader: TarReader) -> None:
        """Extract all remaining entries of the reader.

        Raises:
            ArchiveError: the archive is damaged or contains something forbidden.
            OSError: the file system rejects an operation.
        """
        for entry in reader:
            self.entries += 1
            if self.entries > self._max_entries:
                raise ArchiveError(f"archive has more than {self._max_entries} entries")
            if not self._keep_root or clean(entry.name):
                self.add(entry, reader.content())
        self.finish()

    def finish(self) -> None:
        """Set modes and times of directories, after all their content was written."""
        for path, directory in self._known():
            if directory.metadata is not None:
                mode, mtime_ns = directory.metadata
                directory.metadata = None
                full = self._at(path)
                os.chmod(full, mode)
                os.utime(full, ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def implicit(self) -> list[str]:
        """Return the directories that were created for their content, without an own entry.

        Their owner and mode are not in the archive.

        Raises:
            ArchiveError: their paths are longer than an answer may be.
        """
        found = []
        for path, directory in self._known():
            if directory.implicit:
                self._count_paths(path)
                found.append(path)
        return found

    def _known(self) -> Iterator[tuple[str, _Directory]]:
        """Yield all known directories, each after those in it."""
        pending = [("", self._tree, False)]
        while pending:
            path, directory, below = pending.pop()
            if below or not directory.children:
                yield path, directory
                continue
            pending.append((path, directory, True))
            start = f"{path}/" if path else ""
            pending += [(start + name, each, False) for name, each in directory.children.items()]

    def _count_paths(self, *paths: str) -> None:
        self._paths += sum(map(len, paths))
        if self._paths > _MAX_PATHS:
            raise ArchiveError("archive has too many directories without an entry")

    def add(self, entry: Entry, content: Iterator[memoryview]) -> None:
        """Extract one entry."""
        path = clean(entry.name)
        name = path.rpartition("/")[2]
        if self._overlay and name.startswith(WHITEOUT):
            self._whiteout(self._place(path))
            return
        kind = entry.kind
        if not path:
            if kind != Kind.DIRECTORY:
                raise ArchiveError("the root of the archive is not a directory")
            self._set_directory(self._tree, "", entry)
            return
        place = self._place(path)
        try:
            if kind == Kind.DIRECTORY:
                self._make_directory(place, entry)
            elif kind == Kind.FILE:
                self._clear(place, directory_wanted=False)
                self._file(place.path, entry, content)
            elif kind == Kind.SYMLINK:
                self._clear(place, directory_wanted=False)
                os.symlink(entry.linkname, self._at(place.path))
                self._set_metadata(place.path, entry)
            elif kind == Kind.HARDLINK:
                self._link(place, entry)
            elif kind in (Kind.CHARACTER, Kind.BLOCK, Kind.FIFO):
                self._clear(place, directory_wanted=False)
                self._node(place.path, entry)
            else:
                raise ArchiveError(f"unhandled tar header type {kind!r}")
        except (ValueError, OverflowError):  # a NUL in a name, a number out of range
            raise ArchiveError(f"invalid entry {entry.name!r}") from None

    def _whiteout(self, place: _Place) -> None:
        name = place.name
        if name == OPAQUE:
            self._make_opaque(place.path.rpartition("/")[0])
            return
        if name.startswith(WHITEOUT * 2):  # metadata of aufs
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", ".."):
            raise ArchiveError(f"invalid whiteout {name!r}")
        path = place.path[: -len(name)] + hidden
        try:
            mode = os.lstat(self._at(path)).st_mode
        except FileNotFoundError:
            os.mknod(self._at(path), stat.S_IFCHR, os.makedev(0, 0))
            return
        # The layer itself has the name, too; the whiteout refers to lower layers only.
        if stat.S_ISDIR(mode):
            self._make_opaque(path)

    def _file(self, path: str, entry: Entry, content: Iterator[memoryview]) -> None:
        self.size += entry.size
        self._space.check(entry.stored)
        handle = os.open(self._at(path), _CREATE, 0o600)
        try:
            if entry.sparse is None:
                for piece in content:
                    _write(handle, piece)
            else:
                _write_sparse(handle, entry, content)
            owner = self._owner or (entry.uid, entry.gid)
            if self._privileged:
                os.fchown(handle, *owner)
            os.fchmod(handle, entry.mode)
            if entry.xattrs:
                self._set_xattrs(handle, entry)
            os.utime(handle, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(handle)

    def _make_directory(self, place: _Place, entry: Entry) -> None:
        found = self._clear(place, directory_wanted=True)
        if found <= 0:
            self._space.check(_DIRECTORY_SIZE)
            os.mkdir(self._at(place.path), 0o700)
        if found < 0:
            self._make_opaque(place.path)
        directory = place.directory.child(place.name) or place.directory.add(place.name)
        self._set_directory(directory, place.path, entry)

    def _set_directory(self, directory: _Directory, path: str, entry: Entry) -> None:
        full = self._at(path)
        directory.implicit = False
        directory.metadata = (entry.mode, entry.mtime_ns)
        try:
            if self._privileged:
                os.lchown(full, *(self._owner or (entry.uid, entry.gid)))
            if entry.xattrs:
                self._set_xattrs(full, entry)
        except (ValueError, OverflowError):  # a number out of range
            raise ArchiveError(f"invalid entry {entry.name!r}") from None

    def _link(self, place: _Place, entry: Entry) -> None:
        linkname = entry.linkname
        target = clean(linkname)
        path = place.path
        source = self._place(target).path if target else ""
        if source == path:
            return
        try:
            info = os.lstat(self._at(source))
        except FileNotFoundError:
            if not self._overlay:
                raise ArchiveError(
                    f"hard link {path!r} to {linkname!r}, which does not exist"
                ) from None
            # A lower layer may have the file.
            self._clear(place, directory_wanted=False)
            self._count_paths(path, source)
            self.lower_links.append((path, source))
            return
        if stat.S_ISDIR(info.st_mode):
            raise ArchiveError(f"hard link {path!r} to a directory")
        self._clear(place, directory_wanted=False)
        os.link(self._at(source), self._at(path), follow_symlinks=False)
        self._update_metadata(path, entry, info)

    def _node(self, path: str, entry: Entry) -> None:
        full = self._at(path)
        if entry.kind == Kind.FIFO:
            os.mkfifo(full, 0o600)
        else:
            kind = stat.S_IFCHR if entry.kind == Kind.CHARACTER else stat.S_IFBLK
            major, minor = entry.device
            if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
                raise ArchiveError(f"invalid device number of {path!r}")
            try:
                os.mknod(full, kind | 0o600, os.makedev(major, minor))
            except PermissionError:
                if self._privileged:
                    raise
                return  # only root may, and containers get their own /dev
        self._set_metadata(path, entry)
        os.chmod(full, entry.mode)

    def _update_metadata(self, path: str, entry: Entry, info: os.stat_result) -> None:
        """Apply the metadata of a hard link's entry to the file, where they differ."""
        full = self._at(path)
        owner = self._owner or (entry.uid, entry.gid)
        changed = self._privileged and owner != (info.st_uid, info.st_gid)
        if changed:
            os.lchown(full, *owner)
        if not stat.S_ISLNK(info.st_mode) and (changed or entry.mode != stat.S_IMODE(info.st_mode)):
            os.chmod(full, entry.mode)
        if entry.xattrs:
            self._set_xattrs(full, entry)
        os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)

    def _set_metadata(self, path: str, entry: Entry) -> None:
        """Set owner, attributes and time of an entry that is neither file nor directory."""
        full = self._at(path)
        if self._privileged:
            os.lchown(full, *(self._owner or (entry.uid, entry.gid)))
        if entry.xattrs:
            self._set_xattrs(full, entry)
        os.utime(full, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)

    def _set_xattrs(self, target: int | str, entry: Entry) -> None:
        for name, value in entry.xattrs.items():
            # Attributes that control overlayfs must not come from an archive.
            if name.startswith("user.overlay.") or not (
                name.startswith("user.") or name in _ALLOWED_XATTRS
            ):
                continue
            try:
                if isinstance(target, int):
                    os.setxattr(target, name, value)
                else:
                    os.setxattr(target, name, value, follow_symlinks=False)
            except OSError as error:
                # As in other engines, a file system without extended attributes is no error.
                if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
                    raise


def _write(handle: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(handle, piece) :]


def _write_sparse(handle: int, entry: Entry, content: Iterator[memoryview]) -> None:
    piece = memoryview(b"")
    for offset, length in entry.sparse or ():
        os.lseek(handle, offset, os.SEEK_SET)
        while length:
            if not piece:
                piece = next(content, memoryview(b""))
                if not piece:
                    raise Truncated
            _write(handle, piece[:length])
            taken = min(length, len(piece))
            piece = piece[taken:]
            length -= taken  # noqa: PLW2901 - remaining length of this piece
    os.ftruncate(handle, entry.size)


def _remove_tree(full: str) -> None:
    """Remove a directory tree without recursion, because trees may be deep."""
    pending = [full]
    while pending:
        here = pending[-1]
        directories = []
        with os.scandir(here) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    directories.append(item.path)
                else:
                    os.unlink(item.path)
        if directories:
            pending.extend(directories)
        else:
            os.rmdir(here)
            pending.pop()
