"""A parser of ``HostConfig.SecurityOpt``."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from palan.api.booleans import BOOLEANS
from palan.api.errors import InvalidParameter


__all__ = ["SecurityOptions", "parse_security_options"]


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """The confinement of a container.

    Attributes:
        no_new_privileges: whether set-uid programs have no effect.
        seccomp: empty for the engine's default, ``builtin``, ``unconfined`` or a
            profile in Docker's JSON.
        apparmor: the profile's name; empty for the default.
        labels: SELinux labels, without ``label=``.
        writable_cgroups: whether the cgroup file system is writable; None for privileged
            containers only.
        unconfined_paths: whether no path of /proc and /sys is masked or read-only.
    """

    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    labels: tuple[str, ...] = ()
    writable_cgroups: bool | None = None
    unconfined_paths: bool = False


def parse_security_options(
    options: Iterable[str] | None, *, no_new_privileges: bool = False
) -> SecurityOptions:
    """Parse the options; later ones take precedence.

    Args:
        options: ``name``, ``name=value`` or, long deprecated, ``name:value``.
        no_new_privileges: the engine's default.

    Raises:
        InvalidParameter: an option is unknown or malformed; in dockerd's words.
    """
    found = SecurityOptions(no_new_privileges)
    for option in options or ():
        name, separator, value = option.partition("=" if "=" in option else ":")
        if separator:
            found = _with(found, option, name, value)
        elif option in ("no-new-privileges", "writable-cgroups"):
            found = _with(found, option, option, "true")
        elif option == "disable":
            found = _with(found, option, "label", option)
        else:
            raise InvalidParameter(f'invalid --security-opt 1: "{option}"')
    return found


def _with(found: SecurityOptions, option: str, name: str, value: str) -> SecurityOptions:
    match name:
        case "no-new-privileges" if value in BOOLEANS:
            return replace(found, no_new_privileges=BOOLEANS[value])
        case "writable-cgroups" if value in BOOLEANS:
            return replace(found, writable_cgroups=BOOLEANS[value])
        case "seccomp":
            return replace(found, seccomp=value)
        case "apparmor":
            return replace(found, apparmor=value)
        case "label":
            return replace(found, labels=(*found.labels, value))
        case "systempaths" if value == "unconfined":
            # The docker command line turns this into empty path lists by itself.
            return replace(found, unconfined_paths=True)
    raise InvalidParameter(f'invalid --security-opt 2: "{option}"')
