"""Seccomp filters compiled ahead of time, which crun otherwise compiles for each container.

libseccomp takes 15 to 20 ms to compile Docker's profile, half the time that crun needs to create
a container, and the result is the same each time. crun accepts a compiled program in an
annotation (:data:`ANNOTATION`), stores it with the container's state, and applies it to the
container's first process and to exec'd ones, like a program of its own.

The result is the same as crun's, byte for byte, because the same library is called in the same
way: unknown system calls are skipped; rules with the default action are skipped; several
conditions on one argument are alternatives. In front of it, as in runc's filters, are a few
instructions that fail with ENOSYS for system calls that are newer than all of the profile:
programs use an older call then, but not after the EPERM of the default action.

Profiles that a bare program cannot represent (a listener, flags) or that are malformed are left to
crun: then there is no annotation, and crun uses the profile, which remains in the container's
configuration.

Programs are cached in memory and in files, under a digest of profile, library version and
architecture. A file begins with a digest of its contents, so that a file truncated by a power
failure is not used.
"""

import base64
import contextlib
import ctypes
import hashlib
import json
import mmap
import os
import platform
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from palan.host.filesystem import write_atomically


__all__ = ["ANNOTATION", "SeccompCompiler", "uses_shared_library"]

ANNOTATION: Final = "run.oci.seccomp_bpf_data"
"""The annotation in which crun expects a program, in base64 (crun(1))."""

_LIBRARY: Final = "libseccomp.so.2"
_BITS: Final = 8 * ctypes.sizeof(ctypes.c_void_p)
"""A 32-bit library on a 64-bit kernel compiles a different filter."""

_EPERM: Final = 1
_ENOSYS: Final = 38
_EEXIST: Final = 17
_UNKNOWN: Final = -1  # __NR_SCMP_ERROR
_ARGUMENTS: Final = 6
_CACHE_SIZE: Final = 64
_FORM: Final = 2
"""Changes when the same profile is compiled into another program than before."""

# Values of seccomp_init(3); those with a parameter have it in their lower half.
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

# struct sock_filter: an instruction, the number of instructions to skip if its comparison is true
# and if it is false, and an operand.
_INSTRUCTION: Final = struct.Struct("=HBBI")
_LOAD, _IF_EQUAL, _IF_ABOVE, _IF_FROM, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data

_X86_64: Final = 0xC000003E  # AUDIT_ARCH_X86_64
_X32: Final = 0x4000003E  # SCMP_ARCH_X32
_X32_BIT: Final = 0x40000000


class _Refused(Exception):
    """The profile has to be left to crun."""


# Errors of a malformed profile, which crun will report.
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
    """The functions of libseccomp used here; calls release the interpreter lock.

    Raises:
        OSError: the library is not installed.
        AttributeError: the library is too old.
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
        self.arch_native = function("seccomp_arch_native", word)
        self.resolve_on = function("seccomp_syscall_resolve_name_arch", number, word, text)
        self.resolve = function("seccomp_syscall_resolve_name", number, text)
        self.rule_add = function(
            "seccomp_rule_add_array",
            *(number, context, word, number, ctypes.c_uint, ctypes.POINTER(_Comparison)),
        )
        self.export = function("seccomp_export_bpf", number, context, number)
        version = function("seccomp_version", ctypes.POINTER(_Version))().contents
        self.version = f"{version.major}.{version.minor}.{version.micro}"


def uses_shared_library(program: Path) -> bool:
    """Whether a runtime uses the same shared libseccomp, and not a copy linked into it.

    A different version may know other system calls.
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
    """Compiles profiles into programs. Several threads may call its methods at once.

    Args:
        directory: the directory for programs; created when needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._programs: dict[str, str | None] = {}
        self._lock = threading.Lock()
        self._library: _Library | None = None
        with contextlib.suppress(OSError, AttributeError):
            self._library = _Library()

    def compile(self, profile: Mapping[str, Any]) -> str | None:
        """Return :data:`ANNOTATION`'s value for ``linux.seccomp`` of a runtime spec. Blocking.

        Returns:
            The program in base64; None if the profile has to be left to the runtime.
        """
        if self._library is None:
            return None
        text = json.dumps(profile, separators=(",", ":")).encode()
        about = f"{_FORM} {self._library.version} {platform.machine()} {_BITS}\n".encode()
        digest = hashlib.sha256(about + text).hexdigest()
        with self._lock:  # a second caller with the same profile waits for the first
            if digest not in self._programs:
                if len(self._programs) >= _CACHE_SIZE:
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
            with contextlib.suppress(OSError):  # a full disk: cache in memory only
                self._store(path, program)
        return base64.b64encode(program).decode()

    def _store(self, path: Path, program: bytes) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, hashlib.sha256(program).digest() + program)
        files = sorted(self._directory.glob("*.bpf"), key=lambda file: file.stat().st_mtime_ns)
        for old in files[:-_CACHE_SIZE]:
            old.unlink(missing_ok=True)


def _load(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    digest, program = data[:size], data[size:]
    return program if program and hashlib.sha256(program).digest() == digest else None


# ---- the same steps as in crun ----------------------------------------------------


def _compile(library: _Library, profile: Mapping[str, Any]) -> bytes:
    """Compile a profile into an array of ``struct sock_filter``.

    Raises:
        _Refused: the library, or crun, would reject the profile.
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
        return _newer_calls(library, profile, default) + _export(library, context)
    finally:
        library.release(context)


# ---- calls that are newer than the profile ------------------------------------------


def _newer_calls(library: _Library, profile: Mapping[str, Any], default: int) -> bytes:
    """Return instructions that refuse calls above the highest of the profile with ENOSYS."""
    enosys = _ACTIONS["SCMP_ACT_ERRNO"] | _ENOSYS
    if default in (_ACTIONS["SCMP_ACT_ALLOW"], _ACTIONS["SCMP_ACT_LOG"], enosys):
        return b""
    tokens = {library.arch_native()} | {
        library.arch_resolve(name.removeprefix("SCMP_ARCH_").lower().encode())
        for name in profile.get("architectures") or ()
    }
    names = {name.encode() for call in profile.get("syscalls") or () for name in call["names"]}
    highest = {
        token: max((library.resolve_on(token, name) for name in names), default=_UNKNOWN)
        for token in tokens
    }
    program: list[tuple[int, int, int, int]] = []
    for token, number in sorted(highest.items()):
        if token == _X32 or number < 0:
            continue
        tests = [(_IF_ABOVE, 0, 1, number)]
        if token == _X86_64:  # to the kernel, x32 is the same architecture
            x32 = max(highest.get(_X32, _UNKNOWN), 0) or 0xFFFFFFFF
            tests = [(_IF_ABOVE, 2, 0, x32), (_IF_FROM, 2, 0, _X32_BIT), *tests]
        program += [
            (_LOAD, 0, 0, _ARCHITECTURE),
            (_IF_EQUAL, 0, len(tests) + 2, token),
            (_LOAD, 0, 0, _NUMBER),
            *tests,
            (_RETURN, 0, 0, enosys),
        ]
    return b"".join(_INSTRUCTION.pack(*step) for step in program)


def _check(result: int, *, but: int = 0) -> None:
    if result < 0 and result != but:
        raise _Refused


def _action(name: str, number: int | None) -> int:
    if number is not None and name not in _NUMBERED:
        raise _Refused  # crun reports the error
    value = _ACTIONS[name]
    if name in _NUMBERED:
        value |= (_EPERM if number is None else number) & 0xFFFF
    return value


def _rules(conditions: Any) -> list[ctypes.Array[_Comparison]]:
    """Turn one entry into a rule with conditions that must all hold, or into several rules."""
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
