"""The programs that run containers: found, tried and chosen when the engine starts.

A runtime counts as usable only after it has really run something here (see
:mod:`palan.host.oci_probe`): crun, for one, refuses machines that have both generations
of cgroups mounted, unless it is shown the first only.  When none is usable the engine
still serves, and says at each start of a container what to install.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import structlog

from palan.api.errors import Unavailable
from palan.engine.background import Background
from palan.engine.config import EngineConfig
from palan.engine.machine.choice import SHIMS, choose_default, explanation, find_candidates
from palan.engine.machine.failures import explained
from palan.engine.machine.machine import Machine
from palan.engine.machine.seccomp import SeccompFilters
from palan.engine.machine.surroundings import MachinePaths
from palan.host.cgroup_moves import CgroupMoves
from palan.host.cgroups import CgroupFeatures, Layout
from palan.host.conmon import Conmon, ContainerPlan, ExecPlan, Monitored
from palan.host.oci_probe import Prober
from palan.host.oci_runtime import Kind, OCIRuntime, find_programs, kind_of, read_only_copy
from palan.host.seccomp_bpf import uses_shared_library
from palan.host.spawn import HYBRID_CGROUP2, RuntimeView, Spawner


__all__ = ["Runtimes"]

_log = structlog.get_logger("palan.engine")

_MOUNT_SETATTR: Final = (5, 12)
"""The first kernel with mount_setattr(2), which ``rro`` needs."""

_RECURSIVE_READ_ONLY: Final[dict[Kind, tuple[int, int]]] = {"crun": (1, 4), "runc": (1, 1)}
"""The first versions that know ``rro``; older ones take it for an option of the file system."""


class Runtimes:
    """OCI runtimes and conmon.

    Attributes:
        usable: the runtimes that work, by name.
        default: the name of the runtime of containers that name none.
        problems: why other programs can't be used, by name.
        conmon: starts runtimes and watches containers.
    """

    def __init__(
        self, machine: Machine, config: EngineConfig, paths: MachinePaths, background: Background
    ) -> None:
        self._machine = machine
        self._config = config
        self._paths = paths
        self._background = background
        self.usable: dict[str, OCIRuntime] = {}
        self.default = config.default_runtime
        self.problems: dict[str, str] = {}
        self.conmon = Conmon()
        self._spawners: dict[str, Spawner] = {"direct": Spawner(RuntimeView())}
        if machine.cgroups.layout is Layout.HYBRID:
            self._spawners["cgroup-v1-view"] = Spawner(RuntimeView(HYBRID_CGROUP2))
        self._filters = SeccompFilters(paths.seccomp)
        self._precompiled: set[str] = set()
        """Names of the runtimes that take compiled filters."""
        self._recursive: set[str] = set()
        """Names of the runtimes that can make whole trees of mounts read-only."""
        self._moves = CgroupMoves(machine.cgroups)
        self._expecting: asyncio.Task[None] | None = None

    async def probe(self) -> None:
        """Find out which runtimes work."""
        candidates = find_candidates(self._config.runtimes, find_programs)
        self.problems.update(candidates.problems)
        if candidates.conmon is not None:
            self.conmon = Conmon(candidates.conmon)
        prober = Prober(
            self._paths.data_root / "runtimes.json",
            self._paths.exec_root,
            cgroup_parent=self._config.cgroup_root,
        )
        for name, (path, options) in candidates.runtimes.items():
            await self._probe(prober, name, path, options)
        self.default = choose_default(self.default, self.usable)
        if not self._works:
            _log.warning("containers cannot be run", reason=explanation(self.problems))

    async def _probe(self, prober: Prober, name: str, path: Path, options: tuple[str, ...]) -> None:
        probe = await prober.probe(path, self._spawners)
        if not probe.works:
            self.problems[name] = probe.error
            return
        program = path
        if kind_of(probe.version) == "crun":
            with contextlib.suppress(OSError):
                program = read_only_copy(path, self._paths.exec_root / "bin")
        runtime = OCIRuntime(
            name,
            program,
            self._paths.runtime / name,
            self._spawners[probe.spawner],
            version=probe.version,
            options=options,
        )
        runtime.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.usable[name] = runtime
        if runtime.kind == "crun" and uses_shared_library(path):
            self._precompiled.add(name)
        if self._machine.host.kernel >= _MOUNT_SETATTR and await _knows_rro(runtime):
            self._recursive.add(name)

    # ---- running containers ------------------------------------------------------

    def get(self, name: str) -> OCIRuntime:
        """Return the runtime of that name.

        Raises:
            Unavailable: the runtime or conmon is not installed or does not work.
        """
        if name in self.usable and "conmon" not in self.problems:
            return self.usable[name]
        raise Unavailable(explanation(self.problems))

    @staticmethod
    def resolve(name: str) -> str:
        """Return the name of the runtime that a name means, which may be a containerd shim's."""
        return SHIMS.get(name, name)

    def mounts_recursively_read_only(self, name: str) -> bool:
        """Whether that runtime can make what is mounted below a mount read-only, too."""
        return name in self._recursive

    def find(self, name: str) -> OCIRuntime | None:
        """Return the runtime of that name, None if it does not work any more."""
        return self.usable.get(name)

    def compile_filter(self, name: str, spec: dict[str, Any]) -> None:
        """Add the compiled seccomp filter to a runtime spec, for a runtime that takes one.

        Blocking: some milliseconds for a profile that was not compiled before.
        """
        if name in self._precompiled:
            self._filters.add_to(spec)

    def expect_moves(self) -> None:
        """Prepare the kernel for a process that will soon be moved into its cgroup."""
        if self._expecting is None or self._expecting.done():
            self._expecting = self._background.spawn(asyncio.to_thread(self._moves.prepare))

    async def create(self, runtime: OCIRuntime, plan: ContainerPlan, program: str) -> Monitored:
        """Create a container that waits to be started.

        Args:
            runtime: the container's.
            plan: the container.
            program: its first argument, for messages.

        Raises:
            StartFailure: in dockerd's words.
        """
        self.expect_moves()
        with explained(program):
            return await self.conmon.create(runtime, plan)

    async def exec(
        self,
        runtime: OCIRuntime,
        plan: ExecPlan,
        program: str,
        ready: Callable[[], Awaitable[None]],
    ) -> Monitored:
        """Run a process in a running container.

        Args:
            runtime: the container's.
            plan: the process.
            program: its first argument, for messages.
            ready: connects the clients, before the process runs.

        Raises:
            StartFailure: in dockerd's words.
        """
        self.expect_moves()
        with explained(program, is_exec=True):
            return await self.conmon.exec(runtime, plan, ready)

    # ---- what works here ---------------------------------------------------------

    def programs(self) -> list[tuple[str, str, str]]:
        """Return name, path and version of each usable runtime, for ``GET /version``."""
        return [
            (name, str(runtime.path), _version(runtime.version))
            for name, runtime in self.usable.items()
        ]

    @property
    def names(self) -> frozenset[str]:
        """The names that a container may give for its runtime, those of shims included."""
        shims = (shim for shim, name in SHIMS.items() if name in self.usable)
        return frozenset({*self.usable, self.default, *shims})

    @property
    def default_version(self) -> str:
        """The version of the default runtime, empty if it does not work."""
        runtime = self.usable.get(self.default)
        return _version(runtime.version) if runtime else ""

    @property
    def warnings(self) -> list[str]:
        """Warnings about missing programs, for ``GET /info``."""
        return [] if self._works else [f"WARNING: {explanation(self.problems)}"]

    @property
    def _works(self) -> bool:
        return bool(self.usable) and "conmon" not in self.problems

    @property
    def cgroup_features(self) -> CgroupFeatures:
        """The limits that cgroups support when the default runtime sets them."""
        default = self.usable.get(self.default)
        return self._machine.cgroup_support.features(default.kind if default else None)

    @property
    def any_recursively_read_only(self) -> bool:
        """Whether some runtime can make whole trees of mounts read-only."""
        return bool(self._recursive)

    def close(self) -> None:
        """Close the spawners."""
        for spawner in self._spawners.values():
            spawner.close()


async def _knows_rro(runtime: OCIRuntime) -> bool:
    first = _RECURSIVE_READ_ONLY.get(runtime.kind)
    if first is None:
        return "rro" in ((await runtime.features()).get("mountOptions") or ())
    numbers = _version(runtime.version).split(".")
    return numbers[0].isdigit() and tuple(int(n) for n in numbers[:2] if n.isdigit()) >= first


def _version(text: str) -> str:
    """Return ``1.8.1`` of ``crun version 1.8.1`` and more lines."""
    words = text.partition("\n")[0].split()
    return words[-1] if words else ""
