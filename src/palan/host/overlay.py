"""Overlay mounts: many layers combined into one directory.

mount(2) takes one page of options, which some forty layers fill. Longer lists are passed one
layer at a time if the kernel can (``lowerdir+``, Linux 6.7), otherwise as paths of descriptors
opened on the layers, which are short.
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
"""Maximum number of lower directories that the kernel accepts in one mount."""

_PAGE: Final = 4096
_LONGEST_VALUE: Final = 255  # of a string given to fsconfig(2)
_PARAMETERS: Final = Path("/sys/module/overlay/parameters")

# Errors that mean that the kernel, or a seccomp filter, does not support the call.
_UNKNOWN: Final = (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class OverlaySupport:
    """The result of :func:`supports_overlay`.

    Attributes:
        usable: whether an overlay could be mounted and written with its layers there.
        reason: why not; "" if it is usable.
        d_type: whether the file system reports the types of directory entries; without it,
            deleted files of lower layers stay visible as devices.
        native_diff: whether the upper directory contains exactly the changes; with
            ``redirect_dir`` or ``metacopy`` it may contain references instead.
    """

    usable: bool
    reason: str
    d_type: bool
    native_diff: bool


def plain_options() -> tuple[str, ...]:
    """Return the options for a self-contained upper directory, as far as the kernel has them.

    Without an inode index, layers can be shared and copied; without metacopy and redirects, the
    upper directory can be stored as a layer.
    """
    wanted = {"index": "index=off", "metacopy": "metacopy=off", "redirect_dir": "redirect_dir=off"}
    return tuple(option for name, option in wanted.items() if (_PARAMETERS / name).exists())


def _escape(path: str, special: str) -> str:
    for character in "\\" + special:
        path = path.replace(character, "\\" + character)
    return path


def _page_of_options(lowers: Sequence[str], rest: Sequence[str]) -> str | None:
    """Return the options as mount(2) takes them, or None if they do not fit."""
    lowerdir = "lowerdir=" + ":".join(_escape(lower, ":,") for lower in lowers)
    data = ",".join([lowerdir, *rest])
    return data if len(os.fsencode(data)) < _PAGE else None


@contextlib.contextmanager
def _numbered(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yield short paths of directories, valid inside the context."""
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
    """Mount with calls that take one layer at a time; return False if they are unsupported."""
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
            # The kernel removes escapes from these, but not from lowerdir+.
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
        lowers: the read-only layers, topmost first.
        upper: the writable directory; None for a read-only mount
            (with one lower layer that is a bind mount).
        work: an empty directory on the same file system as ``upper``.
        target: the mount point.
        options: more options, such as those of :func:`plain_options` or ``userxattr``.
        flags: such as :data:`palan.host.syscalls.MS_NODEV`; ignored if the options exceed a page.

    Raises:
        OSError: the mount failed; ``E2BIG`` if there are too many layers.
        ValueError: no lower layer, or only one of upper and work directory.
    """
    if not lowers or (upper is None) != (work is None):
        raise ValueError("an overlay needs a lower layer, and both upper and work or neither")
    below = [str(lower) for lower in lowers]
    if upper is None and len(below) == 1:
        # The kernel does not support an overlay of one layer.
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
    """Whether the file system of ``directory`` reports the types of entries (``d_type``)."""
    Path(directory, "entry").mkdir()
    with os.scandir(directory) as entries:
        found = list(entries)
    # After the removal is_dir() cannot stat the entry: it relies on readdir(3).
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
    """Test an overlay with its layers in ``directory``.

    Args:
        directory: an existing directory, such as the one that will contain layers.
        options: the options to test; by default those of :func:`plain_options`.
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
                (merged / "file").unlink()  # creates a whiteout in the upper directory
            finally:
                mounts.unmount(merged, lazy=True)
        except OSError as error:
            reason = f"cannot use overlay in {directory}: {error.strerror or error}"
        return OverlaySupport(
            usable=not reason, reason=reason, d_type=d_type, native_diff=native_diff
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
