"""``process`` of a runtime spec: a container's first process, and those of exec."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palan.engine.oci.capabilities import KNOWN, granted, oci_capabilities


__all__ = ["User", "exec_process", "oci_process"]


@dataclass(frozen=True, slots=True)
class User:
    """The resolved ids of a process."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()

    def spec(self) -> dict[str, Any]:
        """Return ``user`` of a process in a runtime spec."""
        return {
            "uid": self.uid,
            "gid": self.gid,
            "additionalGids": list(self.additional_gids),
        }


def oci_process(
    *,
    args: Sequence[str],
    env: Sequence[str],
    cwd: str,
    user: User,
    terminal: bool,
    console_size: tuple[int, int],
    capabilities: Iterable[str],
    no_new_privileges: bool,
    apparmor: str = "",
    rlimits: Sequence[Mapping[str, Any]] = (),
    oom_score_adj: int | None = None,
) -> dict[str, Any]:
    """Return ``process`` of a runtime spec for a container's first process.

    Args:
        args: the command line.
        env: the whole environment.
        cwd: the working directory; empty for /.
        user: the ids of its user and groups.
        terminal: whether it has a terminal.
        console_size: height and width of the terminal; zeros leave them unset.
        capabilities: the bounding, permitted and effective set.
        no_new_privileges: whether set-uid programs have no effect.
        apparmor: the profile's name; empty for none.
        rlimits: resource limits in OCI's form.
        oom_score_adj: the score; None for the engine's.
    """
    process: dict[str, Any] = {
        "terminal": terminal,
        "user": user.spec(),
        "args": list(args),
        "env": list(env),
        "cwd": cwd or "/",
        "capabilities": oci_capabilities(capabilities),
        "noNewPrivileges": no_new_privileges,
    }
    if rlimits:
        process["rlimits"] = [dict(limit) for limit in rlimits]
    if apparmor:
        process["apparmorProfile"] = apparmor
    if oom_score_adj is not None:
        process["oomScoreAdj"] = oom_score_adj
    _console(process, console_size)
    return process


def exec_process(
    container: Mapping[str, Any],
    *,
    args: Sequence[str],
    env: Sequence[str],
    cwd: str = "",
    user: User | None = None,
    terminal: bool = False,
    console_size: tuple[int, int] = (0, 0),
    privileged: bool = False,
    bounding: Iterable[str] = (),
) -> dict[str, Any]:
    """Return a further process of a running container: its first one, changed as given.

    Limits, AppArmor profile and no-new-privileges are the container's; so is the seccomp
    filter, which the runtime has stored.

    Args:
        container: ``process`` of the container's runtime spec.
        args: the command line.
        env: the whole environment (:func:`~palan.engine.oci.environment.exec_environment`).
        cwd: the working directory; empty for the container's.
        user: the ids of its user and groups; None for the container's.
        terminal: whether it has a terminal.
        console_size: height and width of the terminal; zeros leave them unset.
        privileged: whether it gets all capabilities of ``bounding``.
        bounding: names of the capabilities in the engine's bounding set.
    """
    if user is None:
        same = container["user"]
        user = User(same["uid"], same["gid"], tuple(same.get("additionalGids", ())))
    capabilities = (
        granted(KNOWN, frozenset(bounding))
        if privileged
        else container.get("capabilities", {}).get("bounding", ())
    )
    process = {
        **container,
        "terminal": terminal,
        "user": user.spec(),
        "args": list(args),
        "env": list(env),
        "cwd": cwd or container["cwd"],
        "capabilities": oci_capabilities(capabilities),
    }
    process.pop("consoleSize", None)
    _console(process, console_size)
    return process


def _console(process: dict[str, Any], size: tuple[int, int]) -> None:
    height, width = size
    if process["terminal"] and height and width:
        process["consoleSize"] = {"height": height, "width": width}
