"""Facts about the machine, gathered when the engine starts."""

from pathlib import Path
from typing import Final

from palan.engine.config import EngineConfig
from palan.engine.machine.cgroup_support import CgroupSupport
from palan.engine.machine.cpusets import parse_cpuset
from palan.engine.machine.init_program import find_init
from palan.engine.machine.seccomp import read_default_profile
from palan.engine.oci.host import CgroupLayout, Host, ProcessLimits
from palan.engine.oci.rlimits import NAMES
from palan.host import capabilities, cgroups, facts, rlimits
from palan.host.cdi import CdiRegistry
from palan.host.cgroups import Layout


__all__ = ["Machine"]

_LAYOUTS: Final[dict[Layout, CgroupLayout]] = {
    Layout.V1: "v1",
    Layout.V2: "v2",
    Layout.HYBRID: "hybrid",
}


class Machine:
    """Facts about this machine, and what the engine found on it.

    Attributes:
        facts: its kernel, processors, memory, distribution and security modules.
        cgroups: its cgroup hierarchies.
        cgroup_support: finds out what they can limit.
        host: the facts that runtime specs depend on.
        cdi: devices that vendors describe.
        init_path: the init program for containers; empty if none was found.
        default_seccomp: the engine's seccomp profile: ``builtin``, ``unconfined`` or JSON.
    """

    def __init__(self, config: EngineConfig) -> None:
        """Gather the facts.

        Raises:
            InvalidParameter: the configured seccomp profile can't be read.
        """
        self.facts = facts.gather()
        self.cgroups = cgroups.detect()
        self.cgroup_support = CgroupSupport(self.cgroups, config.cgroup_root)
        self.host = _host(self.facts, self.cgroups.layout)
        self.cdi = CdiRegistry(config.cdi_spec_dirs if config.features.get("cdi", True) else ())
        self.init_path = find_init(config.init_path)
        self.default_seccomp = read_default_profile(config.seccomp_profile)

    @property
    def init_binary(self) -> str:
        """The name of the init program, empty if none was found."""
        return Path(self.init_path).name if self.init_path else ""

    @property
    def cpus(self) -> frozenset[int]:
        """Numbers of the processors that containers may use."""
        return self._available(0) or frozenset(range(self.facts.ncpu))

    @property
    def memory_nodes(self) -> frozenset[int]:
        """Numbers of the memory nodes that containers may use."""
        return self._available(1) or frozenset({0})

    def _available(self, index: int) -> frozenset[int]:
        try:
            return parse_cpuset(self.cgroups.available()[index])
        except ValueError:
            return frozenset()


def _host(machine: facts.Facts, layout: Layout) -> Host:
    kernel = machine.kernel_version.split(".")
    may_raise = rlimits.can_raise()
    return Host(
        bounding=frozenset(capabilities.bounding()),
        architecture=machine.go_architecture,
        kernel=(int(kernel[0]), int(kernel[1])),
        cgroup=_LAYOUTS[layout],
        seccomp=machine.seccomp,
        apparmor=machine.apparmor,
        limits=ProcessLimits(
            hard={
                name: hard
                for name in NAMES
                if (hard := rlimits.limits(name)[1]) != rlimits.INFINITY
            },
            may_raise=may_raise,
            open_files=_number("/proc/sys/fs/nr_open", 1 << 20),
            oom_score_floor=-1000 if may_raise else _number("/proc/self/oom_score_adj", 0),
        ),
    )


def _number(path: str, default: int) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return default
