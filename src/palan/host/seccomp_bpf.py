"""Seccomp filters compiled ahead of time, which crun otherwise does for each container.

libseccomp takes 15 to 20 ms to make a program of Docker's profile, half of what crun needs
to make a container, and the outcome is the same each time.  crun takes a program made
before in an annotation (:data:`ANNOTATION`), keeps it beside the container's state, and
applies it to the container's first process and to what is exec'd, as it would its own.

What is made here is byte for byte what crun would make, as the steps are its own, with the
same library: names that the library does not know are left out; a rule that does what
happens anyway is left out; several conditions on one argument are alternatives.  Whatever
a bare program cannot say (a listener, flags) and whatever is wrong is left to crun: there
is no program then, and the profile, which stays in the container's configuration, counts.

Programs are kept in memory and in files, under a digest of profile, library and
architecture.  A file begins with a digest of its contents, so that what a power cut leaves
of it is not taken for a filter.
"""

import base64
import contextlib
import ctypes
import hashlib
import json
import mmap
import os
import platform
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from palan.host.filesystem import write_atomically


__all__ = ["ANNOTATION", "SeccompCompiler", "uses_shared_library"]

ANNOTATION: Final = "run.oci.seccomp_bpf_data"
"""Where crun looks for a program, in base64 (crun(1))."""

_LIBRARY: Final = "libseccomp.so.2"
_BITS: Final = 8 * ctypes.sizeof(ctypes.c_void_p)
"""A 32-bit library on a 64-bit kernel makes another filter."""

_EPERM: Final = 1
_EEXIST: Final = 17
_UNKNOWN: Final = -1  # __NR_SCMP_ERROR
_ARGUMENTS: Final = 6
_KEPT: Final = 64

# Values of seccomp_init(3); those with a number take it in their lower half.
_ACTIONS: Final = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_TRAP": 0x00030000,
}
_NUMBERED: Final = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")

# enum scmp_compare of seccomp_rule_add(3)
_OPERATORS: Final = {
    f"SCMP_CMP_{name}": value
    for value, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)
}


class _Refused(Exception):
    """The profile is one that crun has to deal with."""


# A profile that is not of the form that it should have is crun's to explain.
_LEFT_TO_RUNTIME: Final = (
    *(_Refused, AttributeError, LookupError, TypeError, ValueError),
    *(OSError, ctypes.ArgumentError),
)


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Version(ctypes.Structure):
    """``struct scmp_version``."""

    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


class _Library:
    """The functions of libseccomp that are used; calling them lets other threads run.

    Raises:
        OSError: it is not there.
        AttributeError: it is too old.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(_LIBRARY)
        context, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        word = ctypes.c_uint32

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = library[name]
            found.restype, found.argtypes = result, arguments
            return found

        self.init = function("seccomp_init", context, word)
        self.release = function("seccomp_release", None, context)
        self.arch_resolve = function("seccomp_arch_resolve_name", word, text)
        self.arch_add = function("seccomp_arch_add", number, context, word)
        self.resolve = function("seccomp_syscall_resolve_name", number, text)
        self.rule_add = function(
            "seccomp_rule_add_array",
            *(number, context, word, number, ctypes.c_uint, ctypes.POINTER(_Comparison)),
        )
        self.export = function("seccomp_export_bpf", number, context, number)
        version = function("seccomp_version", ctypes.POINTER(_Version))().contents
        self.version = f"{version.major}.{version.minor}.{version.micro}"


def uses_shared_library(program: Path) -> bool:
    """Whether a runtime uses the libseccomp that is used here, and not one built into it.

    Another one may know other system calls.
    """
    try:
        with (
            program.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(_LIBRARY.encode()) >= 0
    except (OSError, ValueError):
        return False


class SeccompCompiler:
    """Makes programs of profiles.  Its methods may be called by several threads at once.

    Args:
        directory: where programs are kept; made when there is one to be kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._programs: dict[str, str | None] = {}
        self._lock = threading.Lock()
        self._library: _Library | None = None
        with contextlib.suppress(OSError, AttributeError):
            self._library = _Library()

    def compile(self, profile: Mapping[str, Any]) -> str | None:
        """The value of :data:`ANNOTATION` for ``linux.seccomp`` of a runtime spec.  Blocking.

        Returns:
            The program in base64; None if it has to be left to the runtime.
        """
        if self._library is None:
            return None
        text = json.dumps(profile, separators=(",", ":")).encode()
        about = f"{self._library.version} {platform.machine()} {_BITS}\n".encode()
        digest = hashlib.sha256(about + text).hexdigest()
        with self._lock:  # the second of two that want the same waits for the first
            if digest not in self._programs:
                if len(self._programs) >= _KEPT:
                    self._programs.pop(next(iter(self._programs)))
                self._programs[digest] = self._make(self._library, digest, profile)
            return self._programs[digest]

    def _make(self, library: _Library, digest: str, profile: Mapping[str, Any]) -> str | None:
        path = self._directory / f"{digest}.bpf"
        program = _load(path)
        if program is None:
            try:
                program = _compile(library, profile)
            except _LEFT_TO_RUNTIME:
                return None
            with contextlib.suppress(OSError):  # a full disk: then only memory keeps it
                self._keep(path, program)
        return base64.b64encode(program).decode()

    def _keep(self, path: Path, program: bytes) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, hashlib.sha256(program).digest() + program)
        files = sorted(self._directory.glob("*.bpf"), key=lambda file: file.stat().st_mtime_ns)
        for old in files[:-_KEPT]:
            old.unlink(missing_ok=True)


def _load(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    digest, program = data[:size], data[size:]
    return program if program and hashlib.sha256(program).digest() == digest else None


# ---- as crun does it --------------------------------------------------------------


def _compile(library: _Library, profile: Mapping[str, Any]) -> bytes:
    """The program, as an array of ``struct sock_filter``.

    Raises:
        _Refused: the library, or crun, would not take the profile.
    """
    if profile.get("listenerPath") or profile.get("flags"):
        raise _Refused
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = library.init(default)
    if not context:
        raise _Refused
    try:
        for name in profile.get("architectures") or ():
            token = library.arch_resolve(name.removeprefix("SCMP_ARCH_").lower().encode())
            if not token:
                raise _Refused
            _check(library.arch_add(context, token), but=-_EEXIST)
        for call in profile.get("syscalls") or ():
            action = _action(call["action"], call.get("errnoRet"))
            if action == default:
                continue
            rules = _rules(call.get("args") or ())
            for name in call["names"]:
                number = library.resolve(name.encode())
                if number == _UNKNOWN:
                    continue
                for rule in rules:
                    _check(library.rule_add(context, action, number, len(rule), rule))
        return _export(library, context)
    finally:
        library.release(context)


def _check(result: int, *, but: int = 0) -> None:
    if result < 0 and result != but:
        raise _Refused


def _action(name: str, number: int | None) -> int:
    if number is not None and name not in _NUMBERED:
        raise _Refused  # crun says what is wrong with it
    value = _ACTIONS[name]
    if name in _NUMBERED:
        value |= (_EPERM if number is None else number) & 0xFFFF
    return value


def _rules(conditions: Any) -> list[ctypes.Array[_Comparison]]:
    """What one entry of a profile becomes: a rule whose conditions must all hold, or several."""
    if any(condition["index"] >= _ARGUMENTS for condition in conditions):
        raise _Refused
    comparisons = [
        _Comparison(
            condition["index"],
            _OPERATORS[condition["op"]],
            condition.get("value", 0),
            condition.get("valueTwo", 0),
        )
        for condition in conditions[:_ARGUMENTS]
    ]
    if len({comparison.arg for comparison in comparisons}) < len(comparisons):
        return [(_Comparison * 1)(comparison) for comparison in comparisons]
    return [(_Comparison * len(comparisons))(*comparisons)]


def _export(library: _Library, context: int) -> bytes:
    with os.fdopen(os.memfd_create("seccomp", os.MFD_CLOEXEC), "rb") as file:
        _check(library.export(context, file.fileno()))
        file.seek(0)
        return file.read()
