"""Overlay mounts: one directory out of many layers.

mount(2) takes a page of options, which some forty layers fill.  Beyond that the
layers are named one by one where the kernel can (``lowerdir+``, Linux 6.7), and else
by the numbers of descriptors opened on them, which are short however long their paths.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.host import mounts, syscalls


__all__ = ["MAX_LOWERS", "OverlaySupport", "mount_overlay", "plain_options", "supports_overlay"]

MAX_LOWERS: Final = 500
"""How many lower directories the kernel accepts in one mount."""

_PAGE: Final = 4096
_LONGEST_VALUE: Final = 255  # of a string given to fsconfig(2)
_PARAMETERS: Final = Path("/sys/module/overlay/parameters")

# Errors that mean "this kernel, or a seccomp filter in front of it, does not know how".
_UNKNOWN: Final = (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class OverlaySupport:
    """What :func:`supports_overlay` found out about a directory.

    Attributes:
        usable: whether an overlay could be mounted and written with its layers there.
        reason: why not; empty when usable.
        d_type: whether the file system tells the types of directory entries, without
            which deleted files of lower layers stay visible as devices.
        native_diff: whether the upper directory holds exactly what changed; with
            ``redirect_dir`` or ``metacopy`` on it may hold references instead.
    """

    usable: bool
    reason: str
    d_type: bool
    native_diff: bool


def plain_options() -> tuple[str, ...]:
    """Options that keep an upper directory self-contained, as far as the kernel knows them.

    Without an inode index layers can be shared and copied; without metadata-only copies
    and redirects the upper directory is the change as a layer wants it.
    """
    wanted = {"index": "index=off", "metacopy": "metacopy=off", "redirect_dir": "redirect_dir=off"}
    return tuple(option for name, option in wanted.items() if (_PARAMETERS / name).exists())


def _escape(path: str, special: str) -> str:
    for character in "\\" + special:
        path = path.replace(character, "\\" + character)
    return path


def _page_of_options(lowers: Sequence[str], rest: Sequence[str]) -> str | None:
    """The options as mount(2) takes them, or None when they do not fit."""
    lowerdir = "lowerdir=" + ":".join(_escape(lower, ":,") for lower in lowers)
    data = ",".join([lowerdir, *rest])
    return data if len(os.fsencode(data)) < _PAGE else None


@contextlib.contextmanager
def _numbered(paths: Sequence[str]) -> Iterator[list[str]]:
    """Short names for directories, good while the context lasts."""
    opened: list[int] = []
    try:
        opened.extend(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in paths)
        yield [f"/proc/self/fd/{fd}" for fd in opened]
    finally:
        for fd in opened:
            os.close(fd)


def _mount_one_by_one(
    lowers: Sequence[str], directories: dict[str, str], options: Sequence[str], target: Path
) -> bool:
    """Mount with the calls that take a layer at a time; False when they cannot do it."""
    if any(len(os.fsencode(path)) > _LONGEST_VALUE for path in (*lowers, *directories.values())):
        return False
    try:
        context = syscalls.fsopen("overlay")
    except OSError as error:
        if error.errno in _UNKNOWN:
            return False
        raise
    try:
        syscalls.fsconfig(context, syscalls.FSCONFIG_SET_STRING, "source", "overlay")
        try:
            for lower in lowers:
                syscalls.fsconfig(context, syscalls.FSCONFIG_SET_STRING, "lowerdir+", lower)
        except OSError as error:
            if error.errno in _UNKNOWN:
                return False
            raise
        for key, value in directories.items():
            # These, unlike lowerdir+, are unescaped by the kernel.
            syscalls.fsconfig(context, syscalls.FSCONFIG_SET_STRING, key, _escape(value, ""))
        for option in options:
            key, equals, value = option.partition("=")
            if equals:
                syscalls.fsconfig(context, syscalls.FSCONFIG_SET_STRING, key, value)
            else:
                syscalls.fsconfig(context, syscalls.FSCONFIG_SET_FLAG, key)
        syscalls.fsconfig(context, syscalls.FSCONFIG_CMD_CREATE)
        mounted = syscalls.fsmount(context)
    finally:
        os.close(context)
    try:
        syscalls.move_mount(mounted, target)
    finally:
        os.close(mounted)
    return True


def mount_overlay(
    lowers: Sequence[Path],
    upper: Path | None,
    work: Path | None,
    target: Path,
    *,
    options: Sequence[str] = (),
    flags: int = 0,
) -> None:
    """Mount layers on top of each other.

    Args:
        lowers: the layers that are only read, the topmost first.
        upper: the directory that takes all changes; None for a read-only mount
            (with one lower layer that is a bind mount).
        work: an empty directory on the same file system as ``upper``.
        target: where the whole is to be seen.
        options: more options, as :func:`plain_options` gives them or ``userxattr``.
        flags: such as :data:`palan.host.syscalls.MS_NODEV`; ignored past a page of options.

    Raises:
        OSError: the kernel refused; ``E2BIG`` when there are too many layers.
        ValueError: neither a lower layer, nor an upper directory without work directory.
    """
    if not lowers or (upper is None) != (work is None):
        raise ValueError("an overlay needs a lower layer, and both upper and work or neither")
    below = [str(lower) for lower in lowers]
    if upper is None and len(below) == 1:
        # The kernel has no overlay of one layer.
        mounts.bind(lowers[0], target, readonly=True, recursive=False)
        return
    directories = {}
    if upper is not None:
        directories = {"upperdir": str(upper), "workdir": str(work)}
    rest = [f"{key}={_escape(path, ',')}" for key, path in directories.items()] + list(options)

    data = _page_of_options(below, rest)
    if data is not None:
        syscalls.mount("overlay", target, "overlay", flags, data)
        return
    if len(below) > MAX_LOWERS:
        raise OSError(errno.E2BIG, f"more than {MAX_LOWERS} layers in one overlay", str(target))
    if _mount_one_by_one(below, directories, options, target):
        return
    with _numbered(below) as short:
        data = _page_of_options(short, rest)
        if data is None:
            raise OSError(errno.E2BIG, f"{len(below)} layers do not fit a mount", str(target))
        syscalls.mount("overlay", target, "overlay", flags, data)


def _tells_types(directory: str) -> bool:
    """Whether reading ``directory`` tells which of its entries are directories."""
    Path(directory, "entry").mkdir()
    with os.scandir(directory) as entries:
        found = list(entries)
    # Gone, the entry can no more be looked at: what is_dir() knows, readdir(3) said.
    Path(directory, "entry").rmdir()
    return any(entry.name == "entry" and entry.is_dir(follow_symlinks=False) for entry in found)


def _is_on(parameter: str, options: Sequence[str]) -> bool:
    for option in options:
        key, _, value = option.partition("=")
        if key == parameter:
            return value not in ("off", "nofollow")
    try:
        return (_PARAMETERS / parameter).read_text().strip() in ("Y", "1")
    except OSError:
        return False


def supports_overlay(directory: Path, options: Sequence[str] | None = None) -> OverlaySupport:
    """Try an overlay whose layers are in ``directory``.

    Args:
        directory: an existing directory, as the one that is to hold layers.
        options: to try with; by default :func:`plain_options`.
    """
    given = plain_options() if options is None else options
    native_diff = not (_is_on("redirect_dir", given) or _is_on("metacopy", given))
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".overlay-probe-", dir=directory))
    except OSError as error:
        return OverlaySupport(usable=False, reason=str(error), d_type=False, native_diff=False)
    try:
        lower, second, upper, work, merged = places = [
            scratch / name for name in ("lower", "lower2", "upper", "work", "merged")
        ]
        for place in places:
            place.mkdir()
        d_type = _tells_types(str(lower))
        (lower / "file").touch()
        reason = ""
        try:
            mount_overlay([second, lower], upper, work, merged, options=given)
            try:
                (merged / "file").unlink()  # needs a whiteout in the upper directory
            finally:
                mounts.unmount(merged, lazy=True)
        except OSError as error:
            reason = f"cannot use overlay in {directory}: {error.strerror or error}"
        return OverlaySupport(
            usable=not reason, reason=reason, d_type=d_type, native_diff=native_diff
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
