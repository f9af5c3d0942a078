"""The child process that unpacks or packs, confined to its directory before it reads a byte.

It receives its task as JSON in ``argv[1]``, reads or writes the archive on standard input or
output, and answers with one JSON object. It imports little, because most of the time for a small
archive is spent on starting.

As root it changes its root directory to the target and drops every capability that is not
needed to create files. Its memory is limited in any case.
"""

import ctypes
import hashlib
import json
import os
import resource
import struct
import sys
import threading
from collections import deque
from typing import Any, Final

from palan.host.archive.extract import Extractor, clean
from palan.host.archive.headers import ArchiveError
from palan.host.archive.inflate import Compression, inflated, prepare
from palan.host.archive.layer_copy import copy_layer_to
from palan.host.archive.reader import Source, TarReader
from palan.host.archive.tree import Packer


__all__ = ["main"]

_PIECE: Final = 256 << 10
_MEMORY: Final = 4 << 30

# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP; SYS_ADMIN for trusted.* attributes.
_KEPT_CAPABILITIES: Final = sum(1 << number for number in (0, 1, 3, 4, 21, 27, 31))
_CAPABILITY_VERSION_3: Final = 0x20080522


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    if libc.capget(header, held):
        raise OSError(ctypes.get_errno(), "capget")
    _, low, _, _, _, _ = struct.unpack("=6I", held.raw)
    low &= _KEPT_CAPABILITIES
    if libc.capset(header, struct.pack("=6I", low, low, 0, 0, 0, 0)):
        raise OSError(ctypes.get_errno(), "capset")


def _confine(target: str, compression: Compression) -> str:
    """Restrict the process to ``target``; return the path under which it sees it."""
    prepare(compression)
    os.umask(0)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    memory = _MEMORY if most == resource.RLIM_INFINITY else min(_MEMORY, most)
    resource.setrlimit(resource.RLIMIT_AS, (memory, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        os.chroot(target)
    except PermissionError:
        return target
    os.chdir("/")
    # Never import Python modules from the target directory.
    sys.meta_path.clear()
    _drop_capabilities()
    return "/"


def _read_input() -> bytes:
    return os.read(0, _PIECE)


class _ReadAhead:
    """Reads ahead in a thread, so that inflating and hashing overlap with writing files."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pieces: deque[bytes | BaseException] = deque()
        self._free = threading.Semaphore(8)
        self._ready = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        piece: bytes | BaseException = b" "
        while piece and not isinstance(piece, BaseException):
            self._free.acquire()
            try:
                piece = self._source()
            except BaseException as error:  # noqa: BLE001 - raised in the reader
                piece = error
            self._pieces.append(piece)
            self._ready.release()

    def __call__(self) -> bytes:
        self._ready.acquire()
        piece = self._pieces[0]
        if isinstance(piece, BaseException):
            self._ready.release()
            raise piece
        if not piece:
            self._ready.release()
            return b""
        self._pieces.popleft()
        self._free.release()
        return piece


def _unpack(task: dict[str, Any], root: str) -> dict[str, object]:
    digest = hashlib.sha256()
    plain = inflated(_read_input, task["compression"])

    def hashed() -> bytes:
        piece = plain()
        digest.update(piece)
        return piece

    source: Source = hashed if task["digest"] else plain
    if task["compression"]:
        source = _ReadAhead(source)
    extractor = Extractor(
        root,
        whiteouts=task["whiteouts"],
        opaque_xattr=task["opaque_xattr"],
        no_overwrite_dir_non_dir=task["no_overwrite_dir_non_dir"],
        owner=tuple(task["owner"]) if task["owner"] else None,
        keep_root=task["keep_root"],
    )
    reader = TarReader(source)
    extractor.unpack(reader)
    reader.drain()
    return {
        "digest": "sha256:" + digest.hexdigest(),
        "implicit": extractor.implicit() if task["whiteouts"] == "overlay" else [],
        "lower_links": extractor.lower_links,
        "entries": extractor.entries,
        "size": extractor.size,
    }


def _pack(task: dict[str, Any], root: str) -> dict[str, object]:
    packer = Packer(root, prefix=task["prefix"])
    held: list[bytes] = []
    size = 0
    for piece in packer.pieces():
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            _write(b"".join(held))
            held.clear()
            size = 0
    _write(b"".join(held))
    return {}


def _layer(task: dict[str, Any], root: str) -> dict[str, object]:
    """Copy an overlay's upper directory.

    The target directory is outside of the process's root by now, so it is made the working
    directory, and files in it are named relative to it.
    """
    os.fchdir(task["directory"])
    return copy_layer_to(root, 1, ".")


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _inside(root: str, path: str) -> str:
    """Return ``path`` within the root; after a chroot its links cannot leave the root."""
    inside = clean(path)
    if not inside:
        return root
    full = f"{root.rstrip('/')}/{inside}"
    if root != "/" and not os.path.realpath(full).startswith(os.path.realpath(root) + "/"):
        raise ArchiveError(f"path {path!r} leaves the root")
    return full


_ACTIONS: Final = {"layer": _layer, "pack": _pack, "unpack": _unpack}


def main() -> None:
    """Execute the task in ``argv[1]`` and write the answer."""
    task = json.loads(sys.argv[1])
    answer: dict[str, object]
    try:
        root = _inside(_confine(task["target"], task["compression"]), task["inside"])
        answer = _ACTIONS[task["action"]](task, root)
    except ArchiveError as error:
        answer = {"error": str(error)}
    except OSError as error:
        message = os.strerror(error.errno) if error.errno else str(error)
        if error.filename:
            message = f"{message}: {error.filename}"
        answer = {"error": message, "errno": error.errno}
    except MemoryError:
        answer = {"error": "the archive needs too much memory"}
    # When packing, standard output has the archive, so the answer goes to standard error.
    os.write(1 if task["action"] == "unpack" else 2, json.dumps(answer).encode())
    os._exit(0)
