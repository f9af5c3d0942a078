"""Files and directory trees: atomic writes, removal, size.

Containers may have written the trees, so nothing here follows a symlink, and directories may be
nested to any depth.
"""

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from palan.host import mounts, syscalls


__all__ = [
    "chown_no_follow",
    "directory_size",
    "remove_tree",
    "spread_subdirectories",
    "write_atomically",
]

_FS_IOC_GETFLAGS: Final = 0x80086601 if struct.calcsize("l") == 8 else 0x80046601
_FS_IOC_SETFLAGS: Final = 0x40086602 if struct.calcsize("l") == 8 else 0x40046602
_FS_IMMUTABLE_FL: Final = 0x10
_FS_APPEND_FL: Final = 0x20
_FS_TOPDIR_FL: Final = 0x20000

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_OPEN: Final = 64
"""Number of directories that are open at the same time while a tree is removed."""

_SMALL_TREE: Final = 64
"""Maximum number of files and directories in a small tree."""


def write_atomically(
    path: str | Path, data: bytes | str, mode: int = 0o644, *, durable: bool = False
) -> None:
    """Write a file so that readers always see either the old or the new content, complete.

    Args:
        path: the file.
        data: its new content.
        mode: its permissions, regardless of the umask.
        durable: make it survive a power failure; takes some milliseconds.
    """
    target = Path(path)
    content = data.encode() if isinstance(data, str) else data
    fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            os.fchmod(fd, mode)
            if durable:
                file.flush()
                os.fsync(fd)
        os.replace(temporary, target)  # noqa: PTH105 - a string is at hand
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    if durable:
        directory = os.open(target.parent, _DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def spread_subdirectories(path: str | Path) -> None:
    """Mark the subdirectories of a directory as unrelated to each other (``chattr +T``).

    Ext4 then puts each into a block group of its own. Otherwise all share one group, and creating
    a file there means to step over every inode that was freed in the last minutes, one by one:
    50 times as slow where trees are created and removed often. Other file systems neither
    support nor need the flag.
    """
    fd = os.open(path, _DIRECTORY)
    try:
        _change_flags(fd, add=_FS_TOPDIR_FL)
    except OSError:
        pass
    finally:
        os.close(fd)


def chown_no_follow(path: str | Path, uid: int, gid: int, *, recursive: bool = False) -> None:
    """Change the owner of a file or, with ``recursive``, of a tree; never follows symlinks."""
    os.lchown(path, uid, gid)
    if recursive and not Path(path).is_symlink():
        for _directory, names, files, fd in os.fwalk(path, follow_symlinks=False):
            for name in (*names, *files):
                os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)


def directory_size(path: str | Path) -> int:
    """Return the total size of the files of a tree in bytes; hard links count once.

    Files that disappear or cannot be read do not count. Directories count as empty, as in
    Docker's sizes of containers and volumes.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [str(path)]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    info = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if info.st_nlink > 1:
                    identity = info.st_dev, info.st_ino
                    if identity in seen:
                        continue
                    seen.add(identity)
                total += info.st_size
    return total


# ---- removing ---------------------------------------------------------------


def remove_tree(path: str | Path) -> None:
    """Remove a file or a directory with its content; an absent path is ignored.

    Directories that their owner may not write and immutable files are made writable first, as
    far as permitted.

    Raises:
        OSError: an entry could not be removed; ``EBUSY``, with nothing removed, if there is a
            mount point in the tree.
    """
    top = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow a final symlink
    _refuse_mounts(top)
    parent, name = os.path.split(top)
    try:
        parent_fd = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if _remove_entry(name, parent_fd, directory=False):
            return
        _empty_and_remove(name, parent_fd)
    except OSError as error:
        # Errors below a directory descriptor contain only the name of the entry.
        if error.filename is not None:
            raise OSError(error.errno, error.strerror, f"{error.filename} in {top}") from error
        raise
    finally:
        os.close(parent_fd)


def _refuse_mounts(top: str) -> None:
    found = _mount_in_small_tree(top)
    if found is not None:
        if found:
            raise OSError(errno.EBUSY, "something is mounted there, unmount it first", found)
        return
    real = os.path.join(os.path.realpath(os.path.dirname(top)), os.path.basename(top))  # noqa: PTH118, PTH119, PTH120 - paths are strings here
    inside = [
        entry.mount_point
        for entry in mounts.mountinfo()
        if entry.mount_point == real or entry.mount_point.startswith(real + "/")
    ]
    if inside:
        raise OSError(errno.EBUSY, "something is mounted there, unmount it first", inside[-1])


def _mount_in_small_tree(top: str) -> str | None:
    """Return a mount point in a small tree, "" without one; None if the tree is not small.

    The kernel's mount table has the mounts of all containers, so it takes longer to read than
    to check each entry of a small tree, and most removed trees are small.
    """
    waiting, left = [top], _SMALL_TREE
    try:
        while waiting:
            path = waiting.pop()
            left -= 1
            attributes, meaningful = syscalls.statx_attributes(path)
            if left < 0 or not meaningful & mounts.MOUNT_ROOT:
                return None
            if attributes & mounts.MOUNT_ROOT:
                return path
            if stat.S_ISDIR(os.lstat(path).st_mode):
                waiting += [os.path.join(path, name) for name in os.listdir(path)]  # noqa: PTH118, PTH208 - as above
    except FileNotFoundError:
        return "" if path == top else None
    except OSError:
        return None
    return ""


def _remove_entry(name: str, parent: int, *, directory: bool) -> bool:
    """Remove a file or an empty directory.

    Returns:
        False if it is a directory, or a directory that is not empty.
    """
    for attempt in ("first", "permitted", "last"):
        try:
            if directory:
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return True
        except OSError as error:
            if not directory and _is_directory(name, parent):
                return False
            if directory and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            if error.errno not in (errno.EPERM, errno.EACCES) or attempt == "last":
                raise
            _permit_removal(name, parent)
        else:
            return True
    return False


def _is_directory(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _permit_removal(name: str, parent: int) -> None:
    """Remove whatever prevents an entry from being removed, as far as permitted."""
    place = f"/proc/self/fd/{parent}"
    with contextlib.suppress(OSError):
        mode = os.stat(place).st_mode  # noqa: PTH116 - a descriptor's path
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(place, stat.S_IMODE(mode) | stat.S_IRWXU)  # noqa: PTH101 - likewise
    _clear_flags(place, follow=True)
    if not stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        _clear_flags(name, parent)


def _clear_flags(path: str, parent: int | None = None, *, follow: bool = False) -> None:
    """Clear the immutable and append-only flags of a file."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    with contextlib.suppress(OSError):
        fd = os.open(path, flags, dir_fd=parent)
        try:
            _change_flags(fd, clear=_FS_IMMUTABLE_FL | _FS_APPEND_FL)
        finally:
            os.close(fd)


def _change_flags(fd: int, *, add: int = 0, clear: int = 0) -> None:
    # The ioctl is declared with long, but the kernel reads and writes an int.
    answer = fcntl.ioctl(fd, _FS_IOC_GETFLAGS, struct.pack("ii", 0, 0))
    have = struct.unpack_from("i", answer)[0]
    wanted = (have | add) & ~clear
    if wanted != have:
        fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("ii", wanted, 0))


def _open_directory(name: str, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        os.chmod(name, stat.S_IRWXU, dir_fd=parent)
        return os.open(name, _DIRECTORY, dir_fd=parent)


def _names(fd: int) -> Iterator[str]:
    with os.scandir(fd) as entries:
        found = [entry.name for entry in entries]
    return iter(found)


def _empty_and_remove(name: str, parent: int) -> None:
    """Remove a directory tree iteratively, with an explicit stack."""
    top = _open_directory(name, parent)
    levels: list[tuple[str, int, Iterator[str]]] = [(name, top, _names(top))]
    try:
        while levels:
            name, fd, names = levels[-1]
            child = next(names, None)
            if child is None:
                above = levels[-2][1] if len(levels) > 1 else parent
                if _remove_entry(name, above, directory=True):
                    levels.pop()
                    os.close(fd)
                    continue
                # Entries that were moved here, or are new, are still to be removed.
                names, rest = itertools.tee(_names(fd))
                if next(rest, None) is None:
                    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), name)
                levels[-1] = name, fd, names
                continue
            if _remove_entry(child, fd, directory=False):
                continue
            if len(levels) < _MAX_OPEN:
                below = _open_directory(child, fd)
                levels.append((child, below, _names(below)))
            else:
                # Too deep to keep all parents open: move it to the top, to be removed later.
                away = f".palan-removing-{os.urandom(8).hex()}"
                os.rename(child, away, src_dir_fd=fd, dst_dir_fd=top)
    finally:
        for _name, fd, _names_left in levels:
            os.close(fd)
