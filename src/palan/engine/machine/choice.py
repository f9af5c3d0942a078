"""Choosing the OCI runtime among those that are installed or configured."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from palan.engine.config import Runtime


__all__ = ["PREFERENCE", "SHIMS", "Candidates", "choose_default", "explanation", "find_candidates"]

PREFERENCE: Final = ("crun", "runc")
"""Runtimes that the engine looks for; crun starts a container in a third of runc's time."""

SHIMS: Final = {"io.containerd.runc.v2": "runc", "io.containerd.crun.v2": "crun"}
"""Names of runtimes by the names of the containerd shims by which dockerd knows them."""

_FALLBACK: Final = "runc"


@dataclass(slots=True)
class Candidates:
    """Programs that may work, and why others cannot.

    Attributes:
        runtimes: path and options of each runtime by name.
        conmon: the path of conmon, None if it was not found.
        problems: why a program that is needed or configured cannot be used, by name.
    """

    runtimes: dict[str, tuple[Path, tuple[str, ...]]] = field(default_factory=dict)
    conmon: Path | None = None
    problems: dict[str, str] = field(default_factory=dict)


def find_candidates(
    configured: Mapping[str, Runtime], find: Callable[[Iterable[str]], Mapping[str, Path]]
) -> Candidates:
    """Find the programs; a configured runtime replaces a found one of its name.

    Args:
        configured: the runtimes that the configuration names.
        find: returns the paths of those of some programs that exist, by name.
    """
    found = dict(find((*PREFERENCE, "conmon")))
    candidates = Candidates(conmon=found.pop("conmon", None))
    if candidates.conmon is None:
        candidates.problems["conmon"] = "not found"
    candidates.runtimes = {name: (path, ()) for name, path in found.items()}
    for name, runtime in configured.items():
        program = runtime.path or name
        path = next(iter(find([program]).values()), None)
        if path is None:
            candidates.problems[name] = f"{program} not found"
        else:
            candidates.runtimes[name] = (path, runtime.runtime_args)
    return candidates


def choose_default(configured: str, usable: Container[str]) -> str:
    """Return the name of the default runtime; if none works, one that should be installed.

    Args:
        configured: the name that the configuration gives, or empty.
        usable: names of the runtimes that work.
    """
    return configured or next((name for name in PREFERENCE if name in usable), _FALLBACK)


def explanation(problems: Mapping[str, str]) -> str:
    """Return a message that says why no container can be run, and what to install."""
    found = "; ".join(f"{name}: {why}" for name, why in problems.items())
    return (
        "no OCI runtime works on this machine: install conmon and one of crun or runc"
        f" (on Debian: apt-get install conmon crun runc){f' ({found})' if found else ''}"
    )
