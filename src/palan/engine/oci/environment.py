"""Environment variables of a container's processes: defaults and those of its configuration."""

from collections.abc import Iterable
from typing import Final


__all__ = ["DEFAULT_PATH", "container_environment", "exec_environment", "override"]

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def override(base: Iterable[str], changes: Iterable[str]) -> list[str]:
    """Return ``base`` with ``changes``: ``NAME=value`` replaces a variable or is appended.

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
    """Return the environment of a container's first process.

    Args:
        env: ``Config.Env``, merged with the image's.
        hostname: the container's host name.
        tty: whether it has a terminal; then ``TERM`` is set.
        home: the user's home directory; the default of ``HOME``.
        linked: the variables of links to other containers.
    """
    defaults = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={hostname}"]
    if tty:
        defaults.append("TERM=xterm")
    return _with_home(override([*defaults, *linked], env or ()), home)


def exec_environment(
    container_env: Iterable[str] | None,
    exec_env: Iterable[str] | None,
    *,
    hostname: str,
    tty: bool,
    home: str = "",
    linked: Iterable[str] = (),
) -> list[str]:
    """Return the environment of an exec: the container's, with the exec's changes.

    It follows from the container's configuration and not from its running process, so that
    ``TERM`` is set when the exec has a terminal and the container has not.
    """
    base = container_environment(container_env, hostname=hostname, tty=tty, linked=linked)
    return _with_home(override(base, exec_env or ()), home)


def _with_home(env: list[str], home: str) -> list[str]:
    """Add ``HOME`` if it is absent or empty, as runc does."""
    if home and not any(entry.startswith("HOME=") and entry != "HOME=" for entry in env):
        return [*(entry for entry in env if entry != "HOME="), f"HOME={home}"]
    return env
