"""Compiled seccomp filters: compilation, profiles left to the runtime, and the cache."""

import base64
import copy
import ctypes
import struct

import pytest

from palan.host import seccomp_bpf
from palan.host.seccomp_bpf import SeccompCompiler, uses_shared_library


try:
    ctypes.CDLL("libseccomp.so.2")
except OSError:
    pytest.skip("libseccomp is not installed", allow_module_level=True)

PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
}


@pytest.fixture
def compiler(tmp_path):
    return SeccompCompiler(tmp_path / "seccomp")


@pytest.fixture
def compilations(monkeypatch):
    """Record the profiles that are really compiled."""
    seen = []
    compile_really = seccomp_bpf._compile

    def spy(library, profile):
        seen.append(profile)
        return compile_really(library, profile)

    monkeypatch.setattr(seccomp_bpf, "_compile", spy)
    return seen


def returned(text):
    """Return the possible results of a BPF program (linux/bpf_common.h, linux/seccomp.h)."""
    program = base64.b64decode(text, validate=True)
    instructions = struct.iter_unpack("=HBBI", program)
    return {value for code, _, _, value in instructions if code == 0x06}


def result(text, architecture, number):
    """Run a BPF program for a system call without arguments, and return its result."""
    program = list(struct.iter_unpack("=HBBI", base64.b64decode(text)))
    data = struct.pack("=II", number, architecture) + bytes(56)
    at = accumulator = 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x05:
            at += value
        else:
            holds = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            at += yes if holds else no


X86_64, X86, X32_BIT = 0xC000003E, 0x40000003, 0x40000000
ARCHITECTURES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
EPERM, ENOSYS, ALLOW = 0x00050001, 0x00050026, 0x7FFF0000


@pytest.mark.parametrize(
    ("architecture", "number", "expected"),
    [
        (X86_64, 83, ALLOW),  # mkdir
        (X86_64, 84, EPERM),  # rmdir
        (X86_64, 258, ALLOW),  # mkdirat, the highest
        (X86_64, 259, ENOSYS),
        (X86_64, 0x3FFFFFFF, ENOSYS),
        (X86_64, X32_BIT | 83, ALLOW),
        (X86_64, X32_BIT | 84, EPERM),
        (X86_64, X32_BIT | 259, ENOSYS),
        (X86, 39, ALLOW),
        (X86, 40, EPERM),
        (X86, 296, ALLOW),
        (X86, 297, ENOSYS),
    ],
)
def test_calls_newer_than_the_profile_do_not_exist(compiler, architecture, number, expected):
    allowed = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ALLOW"}]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ARCHITECTURES, "syscalls": allowed,
    }  # fmt: skip
    assert result(compiler.compile(profile), architecture, number) == expected


@pytest.mark.parametrize(
    "default", [("SCMP_ACT_ALLOW", None), ("SCMP_ACT_LOG", None), ("SCMP_ACT_ERRNO", 38)]
)
def test_a_default_that_does_not_mislead_stays(compiler, default):
    action, number = default
    calls = [{"names": ["mkdir"], "action": "SCMP_ACT_KILL"}]
    profile = {"defaultAction": action, "defaultErrnoRet": number, "syscalls": calls}
    assert result(compiler.compile(profile), X86_64, 460) in (ALLOW, ENOSYS, 0x7FFC0000)


def changed(**changes):
    return {**PROFILE, **changes}


def with_call(**changes):
    return changed(syscalls=[{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", **changes}])


def test_a_program(compiler):
    kill, errno, allow = 0x00000000, 0x00050000, 0x7FFF0000
    assert returned(compiler.compile(PROFILE)) == {kill, allow, errno | 38}
    assert returned(compiler.compile(with_call())) == {kill, allow, errno | 1}
    trace = with_call(action="SCMP_ACT_TRACE", errnoRet=7)
    assert returned(compiler.compile(trace)) == {kill, allow, 0x7FF00007}


def test_rules_with_the_default_action_are_skipped(compiler):
    nothing = compiler.compile(changed(syscalls=[]))
    assert compiler.compile(with_call(action="SCMP_ACT_ALLOW")) == nothing
    assert compiler.compile(with_call(names=["no_such_call"])) == nothing
    assert compiler.compile(PROFILE) != nothing


def test_conditions(compiler):
    one = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
    two = {"index": 0, "value": 2, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
    other = {"index": 1, "value": 2, "op": "SCMP_CMP_MASKED_EQ"}
    programs = [
        compiler.compile(with_call(args=args))
        for args in ([], [one], [two], [one, two], [one, other])
    ]
    assert None not in programs
    assert len(set(programs)) == len(programs)
    # Several conditions on one argument are alternatives, as they cannot hold together.
    both = [
        {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [condition]}
        for condition in (one, two)
    ]
    assert compiler.compile(changed(syscalls=both)) == programs[3]


@pytest.mark.parametrize(
    "profile",
    [
        changed(flags=["SECCOMP_FILTER_FLAG_LOG"]),
        changed(listenerPath="/run/listener"),
        changed(defaultAction="SCMP_ACT_NOTIFY"),
        changed(defaultAction="SCMP_ACT_SOMETHING"),
        changed(defaultErrnoRet=1),
        changed(architectures=["SCMP_ARCH_PDP11"]),
        with_call(action="SCMP_ACT_NOTIFY"),
        with_call(action="SCMP_ACT_LOG", errnoRet=3),
        with_call(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]),
        with_call(args=[{"index": 0, "value": 0, "op": "SCMP_CMP_SO_SO"}]),
        with_call(args=[{"value": 0, "op": "SCMP_CMP_EQ"}]),
        with_call(names=[7]),
        {"syscalls": []},
    ],
)
def test_profiles_that_are_left_to_the_runtime(compiler, tmp_path, profile):
    assert compiler.compile(profile) is None
    assert not (tmp_path / "seccomp").exists()


def test_without_the_library_all_profiles_are_left_to_the_runtime(tmp_path, monkeypatch):
    monkeypatch.setattr(seccomp_bpf, "_LIBRARY", "libpalan-none.so.9")
    assert SeccompCompiler(tmp_path).compile(PROFILE) is None


def test_programs_are_cached(tmp_path, compilations):
    first = SeccompCompiler(tmp_path / "s")
    program = first.compile(PROFILE)
    assert first.compile(copy.deepcopy(PROFILE)) == program
    assert SeccompCompiler(tmp_path / "s").compile(PROFILE) == program
    assert len(compilations) == 1
    assert first.compile(with_call()) != program
    assert len(compilations) == 2


@pytest.mark.parametrize("spoil", [b"", b"\0" * 500, b"short"])
def test_a_damaged_file_is_not_used(tmp_path, compilations, spoil):
    program = SeccompCompiler(tmp_path / "s").compile(PROFILE)
    (file,) = (tmp_path / "s").iterdir()
    whole = file.read_bytes()
    for content in (spoil, whole[:-8], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(content)
        assert SeccompCompiler(tmp_path / "s").compile(PROFILE) == program
        assert file.read_bytes() == whole
    assert len(compilations) == 4


def test_compilation_without_a_writable_directory(tmp_path):
    (tmp_path / "s").write_text("a file")
    assert SeccompCompiler(tmp_path / "s").compile(PROFILE) is not None


def test_the_cache_is_limited(tmp_path, monkeypatch, compilations):
    monkeypatch.setattr(seccomp_bpf, "_CACHE_SIZE", 3)
    compiler = SeccompCompiler(tmp_path / "s")
    for errno in range(1, 6):
        compiler.compile(with_call(errnoRet=errno))
    assert len(list((tmp_path / "s").iterdir())) == 3
    compiler.compile(with_call(errnoRet=5))
    assert len(compilations) == 5
    compiler.compile(with_call(errnoRet=1))
    assert len(compilations) == 6


def test_programs_that_use_the_shared_library(tmp_path):
    (tmp_path / "static").write_bytes(b"\x7fELF" + b"\0" * 100)
    (tmp_path / "dynamic").write_bytes(b"\x7fELF" + b"\0libseccomp.so.2\0")
    (tmp_path / "empty").touch()
    assert uses_shared_library(tmp_path / "dynamic")
    for name in ("static", "empty", "missing"):
        assert not uses_shared_library(tmp_path / name)
