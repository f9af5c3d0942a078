"""Seccomp filters: Docker's default profile, and users' profiles in Docker's format.

Their rules have conditions on capabilities, architecture and kernel.  These are evaluated
here, which gives the unconditional ``linux.seccomp`` of a runtime spec.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

import msgspec

from palan.api.errors import InvalidParameter
from palan.engine.oci._seccomp_table import RULES, SUB_ARCHITECTURES, Argument, Rule


__all__ = ["BUILTIN", "UNCONFINED", "custom_profile", "default_profile", "seccomp_profile"]

BUILTIN: Final = "builtin"
UNCONFINED: Final = "unconfined"

_NATIVE: Final = {
    # Go's name: (the name in profiles' conditions, libseccomp's name)
    "386": ("x86", "X86"),
    "amd64": ("amd64", "X86_64"),
    "arm": ("arm", "ARM"),
    "arm64": ("arm64", "AARCH64"),
    "loong64": ("loongarch64", "LOONGARCH64"),
    "mips64": ("mips64", "MIPS64"),
    "mips64le": ("mipsel64", "MIPSEL64"),
    "mipsle": ("mipsel", "MIPSEL"),
    "ppc64": ("ppc64", "PPC64"),
    "ppc64le": ("ppc64le", "PPC64LE"),
    "riscv64": ("riscv64", "RISCV64"),
    "s390": ("s390", "S390"),
    "s390x": ("s390x", "S390X"),
}

_ALLOW: Final = "SCMP_ACT_ALLOW"
_ERRNO: Final = "SCMP_ACT_ERRNO"
_EPERM: Final = 1

_ACTIONS: Final = frozenset(
    {
        _ALLOW,
        _ERRNO,
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_TRAP",
    }
)
_OPERATORS: Final = frozenset(
    f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
)


def seccomp_profile(
    asked: str,
    *,
    default: str,
    privileged: bool,
    capabilities: Collection[str],
    architecture: str,
    kernel: tuple[int, int],
    enabled: bool,
) -> dict[str, Any] | None:
    """Return the filter of a container; None if it has no filter.

    Args:
        asked: the container's ``seccomp=`` option; empty for the default.
        default: the engine's default: ``builtin``, ``unconfined`` or a profile in JSON.
        privileged: whether the container is privileged; then it only has a filter that was
            asked for.
        capabilities: the capabilities of the container.
        architecture: its name in Go.
        kernel: the version of the kernel.
        enabled: whether the kernel has filters; if not, only asking for one is an error.

    Raises:
        InvalidParameter: the profile can't be decoded, or the kernel has no filters.
    """
    if asked == UNCONFINED or (privileged and not asked):
        return None
    chosen = asked or default
    if chosen == UNCONFINED:
        return None
    if not enabled:
        if asked not in ("", BUILTIN):
            raise InvalidParameter(
                "seccomp is not enabled in your kernel, cannot run a custom seccomp profile"
            )
        return None
    if chosen == BUILTIN:
        return default_profile(capabilities, architecture, kernel)
    return custom_profile(chosen, capabilities, architecture, kernel)


def default_profile(
    capabilities: Collection[str], architecture: str, kernel: tuple[int, int] = (5, 0)
) -> dict[str, Any]:
    """Return Docker's default profile; it is shared between callers, which must not change it."""
    return _default_profile(frozenset(capabilities), architecture, kernel)


@lru_cache(maxsize=64)
def _default_profile(
    capabilities: frozenset[str], architecture: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    native, scmp = _native(architecture)
    profile: dict[str, Any] = {"defaultAction": _ERRNO, "defaultErrnoRet": _EPERM}
    if scmp in SUB_ARCHITECTURES:
        profile["architectures"] = [
            f"SCMP_ARCH_{name}" for name in (scmp, *SUB_ARCHITECTURES[scmp])
        ]
    profile["syscalls"] = [
        _syscall(rule) for rule in RULES if _applies(rule, capabilities, native, kernel)
    ]
    return profile


def _native(architecture: str) -> tuple[str, str]:
    return _NATIVE.get(architecture, (architecture, ""))


def _applies(
    rule: Rule, capabilities: Collection[str], native: str, kernel: tuple[int, int]
) -> bool:
    return (
        all(name in capabilities for name in rule.caps)
        and not any(name in capabilities for name in rule.unless_caps)
        and (not rule.arches or native in rule.arches)
        and native not in rule.unless_arches
        and kernel >= rule.kernel
    )


def _syscall(rule: Rule) -> dict[str, Any]:
    call: dict[str, Any] = {"names": list(rule.names), "action": _ERRNO if rule.errno else _ALLOW}
    if rule.errno:
        call["errnoRet"] = rule.errno
    if rule.argument:
        call["args"] = [_argument(rule.argument)]
    return call


def _argument(argument: Argument) -> dict[str, Any]:
    return {"index": argument.index, "value": argument.value, "op": f"SCMP_CMP_{argument.op}"}


# ---- profiles in Docker's format --------------------------------------------------


class _Filter(msgspec.Struct, rename="camel"):
    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str | None = None


class _CallArgument(msgspec.Struct, rename="camel"):
    index: int = 0
    value: int = 0
    value_two: int = 0
    op: str = ""


class _Call(msgspec.Struct, rename="camel"):
    names: list[str] | None = None
    name: str = ""
    action: str = ""
    errno_ret: int | None = None
    args: list[_CallArgument] | None = None
    includes: _Filter | None = None
    excludes: _Filter | None = None


class _Architecture(msgspec.Struct, rename="camel"):
    architecture: str = ""
    sub_architectures: list[str] | None = None


class _Profile(msgspec.Struct, rename="camel"):
    default_action: str = ""
    default_errno_ret: int | None = None
    architectures: list[str] | None = None
    arch_map: list[_Architecture] | None = None
    flags: list[str] | None = None
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: list[_Call] | None = None


def custom_profile(
    text: str, capabilities: Collection[str], architecture: str, kernel: tuple[int, int] = (5, 0)
) -> dict[str, Any] | None:
    """Evaluate a profile in Docker's JSON (``archMap``, ``includes``, ``excludes``).

    Returns:
        ``linux.seccomp``; None where the profile has neither a default nor any rule.

    Raises:
        InvalidParameter: it can't be decoded, or is contradictory.
    """
    profile = _decode(text)
    calls = profile.syscalls or []
    if not profile.default_action and not calls:
        return None
    if profile.architectures and profile.arch_map:
        raise InvalidParameter(
            "both 'architectures' and 'archMap' are specified in the seccomp profile,"
            " use either 'architectures' or 'archMap'"
        )
    native, scmp = _native(architecture)
    result: dict[str, Any] = {"defaultAction": _known(profile.default_action, _ACTIONS, "action")}
    if profile.default_errno_ret is not None:
        result["defaultErrnoRet"] = profile.default_errno_ret
    architectures = list(profile.architectures or ())
    for entry in profile.arch_map or ():
        if entry.architecture == f"SCMP_ARCH_{scmp}":
            architectures += [entry.architecture, *(entry.sub_architectures or ())]
            break
    optional = {
        "architectures": architectures,
        "flags": profile.flags,
        "listenerPath": profile.listener_path,
        "listenerMetadata": profile.listener_metadata,
    }
    result |= {name: value for name, value in optional.items() if value}
    result["syscalls"] = [
        _custom_syscall(call) for call in calls if _included(call, capabilities, native, kernel)
    ]
    return result


def _decode(text: str) -> _Profile:
    failed = "Decoding seccomp profile failed: "
    try:
        return msgspec.json.decode(text, type=_Profile)
    except msgspec.DecodeError as error:
        truncated = "truncated" in str(error)
        why = "unexpected end of JSON input" if truncated else str(error)
        raise InvalidParameter(failed + why) from None


def _known(value: str, known: Collection[str], what: str) -> str:
    if value not in known:
        raise InvalidParameter(f'Decoding seccomp profile failed: unknown {what} "{value}"')
    return value


def _included(
    call: _Call, capabilities: Collection[str], native: str, kernel: tuple[int, int]
) -> bool:
    without, within = call.excludes or _Filter(), call.includes or _Filter()
    without_kernel, within_kernel = _version(without.min_kernel), _version(within.min_kernel)
    if native in (without.arches or ()) or any(c in capabilities for c in without.caps or ()):
        return False
    if without_kernel is not None and kernel >= without_kernel:
        return False
    if within.arches and native not in within.arches:
        return False
    if not all(name in capabilities for name in within.caps or ()):
        return False
    return within_kernel is None or kernel >= within_kernel


def _version(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text, re.ASCII)
    if not match or text == "0.0":
        raise InvalidParameter(
            f"Decoding seccomp profile failed: invalid kernel version: {text},"
            ' expected "<kernel>.<major>"'
        )
    return int(match[1]), int(match[2])


def _custom_syscall(call: _Call) -> dict[str, Any]:
    if call.name and call.names:
        raise InvalidParameter(
            "both 'name' and 'names' are specified in the seccomp profile,"
            " use either 'name' or 'names'"
        )
    result: dict[str, Any] = {
        "names": [call.name] if call.name else call.names or [],
        "action": _known(call.action, _ACTIONS, "action"),
    }
    if call.errno_ret is not None:
        result["errnoRet"] = call.errno_ret
    if call.args:
        result["args"] = [
            {
                "index": argument.index,
                "value": argument.value,
                "valueTwo": argument.value_two,
                "op": _known(argument.op, _OPERATORS, "operator"),
            }
            for argument in call.args
        ]
    return result
