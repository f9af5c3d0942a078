"""Facts about the machine on which a runtime spec depends.

They are passed in: no module of this package examines the machine itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal


__all__ = ["UNLIMITED", "CgroupLayout", "Host", "ProcessLimits"]

CgroupLayout = Literal["v1", "v2", "hybrid"]

UNLIMITED: Final = (1 << 64) - 1
"""RLIM_INFINITY of getrlimit(2), as OCI writes it."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """The limits that the engine can set for its children.

    Attributes:
        hard: the engine's own hard limits by name (``nofile``); others are unlimited.
        may_raise: whether a child's limits may be higher (CAP_SYS_RESOURCE).
        open_files: fs.nr_open, which no hard limit on open files may exceed.
        oom_score_floor: the least oom_score_adj that a child may have; -1000 with
            CAP_SYS_RESOURCE, otherwise the value of /proc/self/oom_score_adj.
    """

    hard: Mapping[str, int] = field(default_factory=dict)
    may_raise: bool = True
    open_files: int = 1 << 20
    oom_score_floor: int = -1000


@dataclass(frozen=True, slots=True)
class Host:
    """Facts of the machine.

    Attributes:
        bounding: names of the capabilities in the engine's bounding set.
        architecture: its name in Go: ``amd64``, ``arm64``, ``riscv64`` ...
        kernel: the first two numbers of the kernel's version.
        cgroup: the hierarchies with the controllers; ``hybrid`` is v1 with an empty v2.
        seccomp: whether the kernel has seccomp filters.
        apparmor: whether AppArmor is enabled.
        limits: the limits that children can have.
    """

    bounding: frozenset[str]
    architecture: str = "amd64"
    kernel: tuple[int, int] = (5, 0)
    cgroup: CgroupLayout = "v2"
    seccomp: bool = True
    apparmor: bool = False
    limits: ProcessLimits = field(default_factory=ProcessLimits)

    @property
    def unified(self) -> bool:
        """Whether the controllers are in the hierarchy of cgroup v2."""
        return self.cgroup == "v2"
