"""Environment variables of a container's processes: defaults below, the container's above."""

from collections.abc import Iterable
from typing import Final


__all__ = ["DEFAULT_PATH", "container_environment", "exec_environment", "override"]

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def override(base: Iterable[str], changes: Iterable[str]) -> list[str]:
    """``base`` with ``changes`` applied: ``NAME=value`` replaces in place or is appended.

    ``NAME`` without a value removes the variable.
    """
    result: dict[str, str] = {entry.partition("=")[0]: entry for entry in base}
    for entry in changes:
        name, equals, _ = entry.partition("=")
        if equals:
            result[name] = entry
        else:
            result.pop(name, None)
    return list(result.values())


def container_environment(
    env: Iterable[str] | None,
    *,
    hostname: str,
    tty: bool,
    home: str = "",
    linked: Iterable[str] = (),
) -> list[str]:
    """The environment of a container's first process.

    Args:
        env: ``Config.Env``, the image's already merged in.
        hostname: the container's host name.
        tty: whether it has a terminal; then ``TERM`` is set.
        home: the user's home directory; ``HOME`` where nothing else sets it.
        linked: what links to other containers set.
    """
    defaults = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={hostname}"]
    if tty:
        defaults.append("TERM=xterm")
    result = override([*defaults, *linked], env or ())
    if home and not any(entry.startswith("HOME=") for entry in result):
        result.append(f"HOME={home}")
    return result


def exec_environment(
    container_env: Iterable[str] | None,
    exec_env: Iterable[str] | None,
    *,
    hostname: str,
    tty: bool,
    home: str = "",
    linked: Iterable[str] = (),
) -> list[str]:
    """The environment of an exec: the container's, with its own changes.

    It is built from the container's configuration and not from its running process, so
    that ``TERM`` is there when the exec has a terminal, whatever the container has.
    """
    base = container_environment(container_env, hostname=hostname, tty=tty, linked=linked)
    result = override(base, exec_env or ())
    if home and not any(entry.startswith("HOME=") for entry in result):
        result.append(f"HOME={home}")
    return result
