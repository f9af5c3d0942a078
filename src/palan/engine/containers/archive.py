"""``HEAD``, ``GET`` and ``PUT /containers/{id}/archive``: files in and out of containers.

The files are those of :mod:`palan.engine.containers.root_view`.  A path is resolved by the
kernel inside of that root; archives are read and written by a child that has it as its
root and few privileges (:mod:`palan.host.archive`).  So neither a link, nor one that is
made in the meantime, nor an archive leads out of it.
"""

import asyncio
import contextlib
import errno
import itertools
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Final, Self

from palan.api.containers import ContainerArchiveGet, ContainerArchiveInfo, ContainerArchivePut
from palan.api.errors import Conflict, InternalError, InvalidParameter, NotFound
from palan.api.results import ByteStream, PathStat
from palan.engine.containers.container import Container, go_time
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.filemode import go_file_mode
from palan.engine.containers.root_view import root_view
from palan.engine.containers.spec import find_user
from palan.engine.streams.pipes import PipeReader
from palan.engine.threads import BodyReader, in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import detect
from palan.host.archive.pack import Packing
from palan.host.archive.unpack import Abort, Options, unpack_pieces
from palan.host.namespaces import run_in_thread
from palan.host.rootfs import follow_links, lookup
from palan.host.rootview import RootView


__all__ = ["archive_get", "archive_info", "archive_put"]

_CALLERS: Final = (
    *(errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS, errno.EISDIR),
    *(errno.EXDEV, errno.EBUSY, errno.ETXTBSY, errno.EINVAL),
)
"""Errors that only the path or the archive of a request can cause."""

_CHANGED: Final = (errno.EEXIST, errno.ENOTEMPTY, errno.ESTALE)
"""Errors that the container's processes cause by changing files at the same time."""

_MAGIC: Final = 6
"""Bytes at the beginning of an archive that tell its compression."""


# ---- information --------------------------------------------------------------


async def archive_info(
    context: ContainerContext, container: Container, request: ContainerArchiveInfo
) -> PathStat:
    """Describe the file at a path in a container."""
    _check_path(request.path)
    with _failures(request.path, request.id):
        async with container.lock, root_view(context, container) as view:
            return await asyncio.to_thread(run_in_thread, lambda: _info(view, request.path))


def _info(view: RootView, path: str) -> PathStat:
    with view.entered() as root:
        found = lookup(root, path, follow=False)
        try:
            return _described(root, found, path)
        finally:
            os.close(found)


def _described(root: int, found: int, path: str) -> PathStat:
    info = os.fstat(found)
    return PathStat(
        name=_last_part(path),
        size=info.st_size,
        mode=go_file_mode(info.st_mode),
        mtime=go_time(info.st_mtime_ns) if info.st_mtime_ns else "1970-01-01T00:00:00Z",
        link_target=follow_links(root, path) if stat.S_ISLNK(info.st_mode) else "",
    )


def _last_part(path: str) -> str:
    return posixpath.basename(path.rstrip("/")) or "/"


def _absolute(path: str) -> str:
    """Return the absolute path; an end of ``/`` or ``/.``, which means a directory, is kept."""
    clean = posixpath.normpath(f"/{path.lstrip('/')}")
    if posixpath.basename(path.rstrip("/")) == ".":
        return f"{clean.rstrip('/')}/."
    return clean if clean == "/" or not path.endswith("/") else f"{clean}/"


class _LockHold:
    """The lock of a container, which can be released early."""

    def __init__(self, container: Container) -> None:
        self._lock = container.lock
        self._held = False

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        self._held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock, if it is still held."""
        if self._held:
            self._held = False
            self._lock.release()


# ---- out ------------------------------------------------------------------------


async def archive_get(
    context: ContainerContext, container: Container, request: ContainerArchiveGet
) -> ByteStream:
    """Read a path in a container as an archive."""
    _check_path(request.path)
    path = _absolute(request.path)
    with _failures(request.path, request.id):
        async with contextlib.AsyncExitStack() as stack:
            hold = await stack.enter_async_context(_LockHold(container))
            view = await stack.enter_async_context(root_view(context, container))
            found, packing = await in_thread(
                lambda: run_in_thread(lambda: _start_packing(view, path))
            )
            stack.callback(packing.kill)
            if view.mounted is not None:
                # The mounts of the view stay, even if the container ends or is removed.
                hold.release()
            headers = {"X-Docker-Container-Path-Stat": found.header()}
            context.events.publish("container", "archive-path", container.id, container.attributes)
            failures = partial(_failures, request.path, request.id)
            return ByteStream(_Packed(packing, stack.pop_all(), failures), headers)


def _start_packing(view: RootView, path: str) -> tuple[PathStat, Packing]:
    with view.entered() as root:
        found = lookup(root, path, follow=False)
        try:
            described = _described(root, found, path)
            inside = _place(view, found)
        finally:
            os.close(found)
        return described, Packing(view.root, inside=inside, prefix=described.name)


def _place(view: RootView, found: int) -> str:
    """Return the path of a file in the container, without links in it."""
    here = os.readlink(f"/proc/self/fd/{found}")  # noqa: PTH115 - a string is at hand
    return here.removeprefix(os.path.realpath(view.root)) or "/"


class _Packed:
    """The pieces of an archive, as the child writes them."""

    def __init__(
        self,
        packing: Packing,
        held: contextlib.AsyncExitStack,
        failures: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._packing = packing
        self._failures = failures
        self._pipe = PipeReader(packing.output)
        self._held = held

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self._pipe.read():
            return piece
        try:
            # The file may have been removed since it was looked up, or can't be read.
            with self._failures():
                await asyncio.to_thread(self._packing.finish)
        finally:
            await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the child, and release the lock and the view."""
        await self._held.aclose()


# ---- in -------------------------------------------------------------------------


async def archive_put(
    context: ContainerContext, container: Container, request: ContainerArchivePut
) -> None:
    """Unpack an archive into a directory of a container."""
    _check_path(request.path)
    with _failures(request.path, request.id):
        async with BodyReader(request.body) as body:
            # Before the container is locked: a client may be slow.
            head = await in_thread(lambda: _head(body), body.abort)
            async with _LockHold(container) as hold, root_view(context, container) as view:
                if view.mounted is not None:
                    hold.release()
                abort = Abort(body.abort)
                await in_thread(lambda: _unpack(container, view, request, head, body, abort), abort)
    context.events.publish("container", "extract-to-dir", container.id, container.attributes)


def _head(body: BodyReader) -> bytes:
    """Return the beginning of an archive, which tells its compression."""
    head = b""
    while len(head) < _MAGIC and (piece := body()):
        head += piece
    return head


def _unpack(  # noqa: PLR0917 - all that the request and the container give
    container: Container,
    view: RootView,
    request: ContainerArchivePut,
    head: bytes,
    body: BodyReader,
    abort: Abort,
) -> None:
    """Unpack the archive, in a thread that does nothing else."""
    with view.entered() as root:
        inside = _extraction_point(container, view, root, request.path)
        if not head:
            return
        owner = _owner(container, view) if request.copy_uidgid else None
        options = Options(
            inside=inside,
            digest=False,
            no_overwrite_dir_non_dir=request.no_overwrite_dir_non_dir,
            owner=owner,
            keep_root=True,
        )
        pieces = itertools.chain((head,), body)
        unpack_pieces(pieces, view.root, detect(head), options, abort=abort)


def _extraction_point(container: Container, view: RootView, root: int, path: str) -> str:
    """Return the directory to unpack into, with links followed.

    Raises:
        InvalidParameter: it is not a directory, or can't be written.
    """
    found = lookup(root, posixpath.normpath(_absolute(path)), follow=True)
    try:
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            raise InvalidParameter("extraction point is not a directory")
        inside = _place(view, found)
        if os.fstatvfs(found).f_flag & os.ST_RDONLY:
            below = any(_is_below(inside, m.destination) for m in container.record.mounts)
            what = "mounted volume" if below else "container rootfs"
            raise InvalidParameter(f"{what} is marked read-only")
        return inside
    finally:
        os.close(found)


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def _owner(container: Container, view: RootView) -> tuple[int, int] | None:
    """Return the owner of files copied with ``copyUIDGID``: the container's user, if it has one."""
    name = container.record.config.user
    if not name:
        return None
    user = find_user(view.root, name, None)
    return user.uid, user.gid


# ---- both -----------------------------------------------------------------------


def _check_path(path: str) -> None:
    if not path:
        raise InvalidParameter("bad parameter: path cannot be empty")
    if "\0" in path:
        raise InvalidParameter("bad parameter: path contains a NUL character")


@contextlib.contextmanager
def _failures(path: str, name: str) -> Iterator[None]:
    """Raise failures of the kernel and of archives as API errors, in dockerd's words."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"Could not find the file {path} in container {name}") from None
    except ArchiveError as error:
        raise InvalidParameter(str(error)) from None
    except ConnectionError:
        raise
    except OSError as error:
        if error.errno in _CHANGED:
            raise Conflict(f"{path} was changed while it was copied: {_reason(error)}") from None
        if error.errno in _CALLERS:
            why = os.strerror(error.errno).lower() if error.filename == path else _reason(error)
            raise InvalidParameter(f"lstat {path}: {why}") from None
        raise InternalError(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror.lower()}{where}"
    return str(error)
