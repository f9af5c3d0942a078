"""Unpacking of untrusted archives: the parent's side of the child process.

One call unpacks one stream into one directory, in a child process that is confined to it
(:mod:`palan.host.archive.child`). Blocking: call it in a thread.
"""

import contextlib
import fcntl
import os
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from palan.host.archive.extract import Whiteouts
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import Compression
from palan.host.archive.lower import Walk, visible
from palan.host.archive.process import enlarge_pipe, read_answer, start
from palan.host.archive.zstd import start_zstd


__all__ = [
    "Abort",
    "Options",
    "Unpacked",
    "copy_lower_attributes",
    "open_below",
    "unpack",
    "unpack_pieces",
]


_PIPE: Final = 1 << 20
"""Size of the pipe to the child in bytes, the maximum for unprivileged processes."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options for unpacking."""

    inside: str = "/"
    """Path below the target to unpack into; its links are followed within the target."""

    digest: bool = True
    """Compute the digest of the inflated stream."""

    whiteouts: Whiteouts = "keep"
    """``overlay`` turns ``.wh.`` names of an image layer into the forms of overlayfs."""

    opaque_xattr: str = "trusted.overlay.opaque"
    """The attribute of an opaque directory in that form."""

    no_overwrite_dir_non_dir: bool = False
    """Refuse to replace a directory by something else, and the reverse."""

    keep_root: bool = False
    """Keep owner, mode and time of the directory itself, ignoring its entry in the archive."""

    owner: tuple[int, int] | None = None
    """User and group of all files, instead of those in the archive."""


DEFAULT: Final = Options()


class Abort:
    """Ends unpacking, called by another thread; also the work of the callers around it."""

    def __init__(self, *others: Callable[[], object]) -> None:
        """Also call ``others``, which end the source of the archive."""
        self._others = others
        self._lock = threading.Lock()
        self._aborted = False
        self._kill: Callable[[], object] | None = None

    def __call__(self) -> None:
        """End the work."""
        with self._lock:
            self._aborted = True
            if self._kill is not None:
                self._kill()
        for other in self._others:
            other()

    def check(self) -> None:
        """Raise :class:`ArchiveError` after the end was requested."""
        if self._aborted:
            raise ArchiveError("unpacking was aborted")

    @contextlib.contextmanager
    def killing(self, kill: Callable[[], object]) -> Iterator[None]:
        """Call ``kill`` when the end is requested meanwhile."""
        with self._lock:
            self.check()
            self._kill = kill
        try:
            yield
        finally:
            with self._lock:
                self._kill = None
        self.check()


class Unpacked:
    """The result of unpacking.

    Attributes:
        digest: ``sha256:`` digest of the inflated stream ("" if not requested).
        size: sum of the nominal sizes of all files in bytes.
        entries: number of entries.
        implicit: directories without an entry of their own ("" is the root itself).
        lower_links: hard links that are still to be made, with the paths of their files.
    """

    __slots__ = ("digest", "entries", "implicit", "lower_links", "size")

    def __init__(self, answer: dict[str, Any]) -> None:
        self.digest: str = answer["digest"]
        self.size: int = answer["size"]
        self.entries: int = answer["entries"]
        self.implicit: list[str] = answer["implicit"]
        self.lower_links: list[tuple[str, str]] = [(path, to) for path, to in answer["lower_links"]]


class _Child:
    """The confined process, and a zstd process before it if needed."""

    def __init__(
        self, target: Path, stdin: IO[bytes] | int, compression: Compression, options: Options
    ) -> None:
        self._inflater: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in wait()
        if compression == "zstd":
            try:
                self._inflater = start_zstd(stdin, self._errors)
            except ArchiveError:
                self._errors.close()
                raise
            assert self._inflater.stdout  # noqa: S101 - for the type checker
            stdin = self._inflater.stdout
            compression = ""
        task = {
            "action": "unpack",
            "target": str(target),
            "compression": compression,
            **asdict(options),
        }
        self._process = start(task, stdin=stdin, stdout=subprocess.PIPE, stderr=self._errors)
        if self._inflater and self._inflater.stdout:
            self._inflater.stdout.close()
        self.input = (self._inflater or self._process).stdin
        if self.input:
            enlarge_pipe(self.input)

    def wait(self) -> Unpacked:
        """Wait for the child and return its result.

        Raises:
            ArchiveError: the archive is invalid.
            OSError: the file system rejected an operation.
        """
        assert self._process.stdout  # noqa: S101 - for the type checker
        with self._errors, self._process.stdout:
            data = self._process.stdout.read()
            self._process.wait()
            inflater = self._inflater.wait() if self._inflater else 0
            self._errors.seek(0)
            errors = self._errors.read(4096).decode("utf-8", "replace").strip()
        if inflater > 0:
            raise ArchiveError(f"invalid zstd data: {errors}")
        answer = read_answer(data, self._process.returncode, errors)
        return Unpacked(answer)

    def kill_processes(self) -> None:
        """Kill the processes; callable by another thread."""
        for process in (self._inflater, self._process):
            if process is not None:
                process.kill()

    def kill(self) -> None:
        """Kill the processes and close all files."""
        for process in (self._inflater, self._process):
            if process is None:
                continue
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        self._errors.close()


def unpack(
    source: IO[bytes] | int,
    target: Path,
    compression: Compression,
    options: Options = DEFAULT,
    *,
    abort: Abort | None = None,
) -> Unpacked:
    """Unpack a stream from a file descriptor, starting at its current position.

    Args:
        source: the stream.
        target: an existing directory; nothing outside is changed.
        compression: the compression of the stream.
        options: options for unpacking.
        abort: ends the work.

    Raises:
        ArchiveError: the archive is damaged or contains something forbidden.
        OSError: the file system rejected an operation.
    """
    child = _Child(target, source, compression, options)
    try:
        with (abort or Abort()).killing(child.kill_processes):
            return child.wait()
    except BaseException:
        child.kill()
        raise


def unpack_pieces(
    pieces: Iterable[bytes],
    target: Path,
    compression: Compression,
    options: Options = DEFAULT,
    *,
    on_piece: Callable[[bytes], object] = lambda _: None,
    abort: Abort | None = None,
) -> Unpacked:
    """Unpack a stream that arrives in pieces; see :func:`unpack`.

    All pieces are consumed, even if the child fails before their end.

    Args:
        pieces: the stream.
        target: an existing directory; nothing outside is changed.
        compression: the compression of the stream.
        options: options for unpacking.
        on_piece: called with every piece after it was passed to the child.
        abort: ends the work.
    """
    child = _Child(target, subprocess.PIPE, compression, options)
    try:
        assert child.input  # noqa: S101 - for the type checker
        with contextlib.suppress(OSError):
            # On a busy machine each switch between the processes is expensive.
            fcntl.fcntl(child.input, fcntl.F_SETPIPE_SZ, _PIPE)
        abort = abort or Abort()
        with abort.killing(child.kill_processes):
            listening = True
            for piece in pieces:
                abort.check()
                if listening:
                    try:
                        child.input.write(piece)
                    except BrokenPipeError:
                        listening = False
                on_piece(piece)
            with contextlib.suppress(BrokenPipeError):
                child.input.close()
            return child.wait()
    except BaseException:
        child.kill()
        raise


def copy_lower_attributes(
    target: Path,
    paths: Iterable[str],
    lower: Sequence[Path],
    check: Callable[[], object] = lambda: None,
) -> None:
    """Copy the attributes of a layer's implicit directories from the layers below it.

    A layer need not contain an entry for every parent directory of its files; in the merged view
    such a directory has to keep its owner, mode and time.

    Args:
        target: the unpacked layer.
        paths: its implicit directories, relative; "" is the layer's root.
        lower: the unpacked layers below, topmost first.
        check: called often; may raise to stop.
    """
    of_layers: dict[Path, list[str]] = {}
    for path, layer in visible(paths, lower, check).items():
        of_layers.setdefault(layer, []).append(path)
    for layer, found in of_layers.items():
        with Walk(layer) as theirs, Walk(target) as ours:
            for path in found:
                check()
                there, here = theirs.directory(path), ours.directory(path)
                if there is not None and here is not None:
                    _copy_attributes(there, here)


def _copy_attributes(there: int, here: int) -> None:
    info = os.fstat(there)
    handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
    try:
        os.fchown(handle, info.st_uid, info.st_gid)
        os.fchmod(handle, stat.S_IMODE(info.st_mode))
        os.utime(handle, ns=(info.st_mtime_ns, info.st_mtime_ns))
    finally:
        os.close(handle)


def open_below(root: Path, path: str, *, directory: bool = False) -> int | None:
    """Open ``path`` below ``root`` without following links; return None if that fails."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    flags |= os.O_RDONLY | os.O_DIRECTORY if directory else os.O_PATH
    parts = [part for part in path.split("/") if part]
    here = os.open(root, os.O_PATH | os.O_CLOEXEC if parts else flags & ~os.O_NOFOLLOW)
    try:
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            there = os.open(
                part,
                flags if last else os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC,
                dir_fd=here,
            )
            os.close(here)
            here = there
    except OSError:
        os.close(here)
        return None
    return here
