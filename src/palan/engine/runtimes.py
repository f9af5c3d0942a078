"""The programs that containers are run by: found, tried and chosen when the engine starts.

A runtime counts as usable only after it has really run something here (see
:mod:`palan.host.oci_probe`): crun, for one, refuses machines that have both generations
of cgroups mounted, unless it is shown the first only.  When none is usable the engine
still serves, and says at each start of a container what to install.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from palan.api.errors import InvalidParameter, PalanError, Unavailable
from palan.engine.containers.validate_facts import CreateFacts
from palan.engine.containers.validate_resources import parse_cpuset
from palan.engine.logdrivers.drivers import LOG_DRIVERS
from palan.engine.oci.host import CgroupLayout, Host, ProcessLimits
from palan.engine.oci.rlimits import NAMES
from palan.host import capabilities, cgroups, facts, rlimits
from palan.host.cdi import CdiRegistry
from palan.host.cgroup_moves import CgroupMoves
from palan.host.cgroups import CgroupFeatures, Layout
from palan.host.conmon import Conmon, ContainerPlan, ExecPlan, Monitored
from palan.host.oci_failures import explain
from palan.host.oci_probe import Prober
from palan.host.oci_runtime import (
    Kind,
    OCIRuntime,
    RuntimeFailure,
    find_programs,
    kind_of,
    read_only_copy,
)
from palan.host.seccomp_bpf import ANNOTATION, SeccompCompiler, uses_shared_library
from palan.host.spawn import LegacyCgroupView, Spawner


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Runtimes", "StartFailure"]

PREFERENCE: Final = ("crun", "runc")
"""crun starts a container in a third of runc's time."""

_SHIMS: Final = {"io.containerd.runc.v2": "runc", "io.containerd.crun.v2": "crun"}
"""What dockerd calls runtimes by the program that it starts them with."""

_LAYOUTS: Final[dict[Layout, CgroupLayout]] = {
    Layout.V1: "v1",
    Layout.V2: "v2",
    Layout.HYBRID: "hybrid",
}

INIT_PROGRAMS: Final = ("docker-init", "tini-static", "tini", "catatonit")


_MOUNT_SETATTR: Final = (5, 12)
_RECURSIVE_READ_ONLY: Final[dict[Kind, tuple[int, int]]] = {"crun": (1, 4), "runc": (1, 1)}
"""The kernel and the runtimes with which ``rro`` came; older ones take it for something else."""


class StartFailure(PalanError):
    """The runtime could not run the program; ``exit_code`` as a shell would have it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _NotRunnable(StartFailure):
    """What was asked for can't be run: the caller's mistake."""

    status = 400


class Runtimes:
    """OCI runtimes, conmon, an init program, and what the machine can do."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.usable: dict[str, OCIRuntime] = {}
        self.default = engine.config.default_runtime
        self.problems: dict[str, str] = {}
        """Why programs that are there can't be used, by name."""
        self.facts = facts.gather()
        self.cgroups = cgroups.detect()
        self.conmon = Conmon()
        self.host = self._host()
        self.default_seccomp = _seccomp(engine.config.seccomp_profile)
        self.default_ulimits = engine.config.default_ulimits
        self._spawners: dict[str, Spawner] = {"direct": Spawner()}
        if self.cgroups.layout is Layout.HYBRID:
            self._spawners["cgroup-v1-view"] = Spawner(LegacyCgroupView())
        self.init_path = self._find_init()
        self.cdi = CdiRegistry(engine.config.cdi_spec_dirs)
        self._filters = SeccompCompiler(engine.paths.seccomp)
        self._precompiled: set[str] = set()
        """Names of the runtimes that take compiled filters."""
        self._recursive: set[str] = set()
        """Names of those that can make whole trees of mounts read-only."""
        self._features: dict[bool, CgroupFeatures] = {}
        self._moves = CgroupMoves(self.cgroups)
        self._expecting: asyncio.Task[None] | None = None

    async def probe(self) -> None:
        """Find out which runtimes work."""
        config, paths = self._engine.config, self._engine.paths
        programs = find_programs((*PREFERENCE, "conmon"))
        if "conmon" in programs:
            self.conmon = Conmon(programs.pop("conmon"))
        else:
            self.problems["conmon"] = "not found"
        prober = Prober(
            paths.data_root / "runtimes.json", paths.exec_root, cgroup_parent=config.cgroup_root
        )
        wanted: dict[str, tuple[Path, tuple[str, ...]]] = {
            name: (path, ()) for name, path in programs.items()
        }
        for name, runtime in config.runtimes.items():
            found = find_programs([runtime.path or name])
            if not found:
                self.problems[name] = f"{runtime.path or name} not found"
            for path in found.values():
                wanted[name] = (path, runtime.runtime_args)
        for name, (path, options) in wanted.items():
            await self._probe(prober, name, path, options)
        if not self.default:
            self.default = next((n for n in PREFERENCE if n in self.usable), "runc")
        if not self.usable or "conmon" in self.problems:
            self._engine.log.warning("containers cannot be run", reason=self._explanation())

    async def _probe(self, prober: Prober, name: str, path: Path, options: tuple[str, ...]) -> None:
        probe = await prober.probe(path, self._spawners)
        if not probe.works:
            self.problems[name] = probe.error
            return
        program = path
        if kind_of(probe.version) == "crun":
            with contextlib.suppress(OSError):
                program = read_only_copy(path, self._engine.paths.exec_root / "bin")
        runtime = OCIRuntime(
            name,
            program,
            self._engine.paths.runtime / name,
            self._spawners[probe.spawner],
            version=probe.version,
            options=options,
        )
        runtime.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.usable[name] = runtime
        if runtime.kind == "crun" and uses_shared_library(path):
            self._precompiled.add(name)
        if self.host.kernel >= _MOUNT_SETATTR and await _knows_rro(runtime):
            self._recursive.add(name)

    # ---- running containers ------------------------------------------------------

    def get(self, name: str) -> OCIRuntime:
        """The runtime of that name.

        Raises:
            Unavailable: it, or conmon, is not there or does not work.
        """
        if name in self.usable and "conmon" not in self.problems:
            return self.usable[name]
        raise Unavailable(self._explanation())

    @staticmethod
    def resolve(name: str) -> str:
        """The runtime that is meant by a name, which may be a containerd shim's."""
        return _SHIMS.get(name, name)

    def mounts_recursively_read_only(self, name: str) -> bool:
        """Whether that runtime can make what is mounted below a mount read-only, too."""
        return name in self._recursive

    def find(self, name: str) -> OCIRuntime | None:
        """The runtime of that name, None if it does not work any more."""
        return self.usable.get(name)

    def _explanation(self) -> str:
        found = "; ".join(f"{name}: {why}" for name, why in self.problems.items())
        return (
            "no OCI runtime works on this machine: install conmon and one of crun or runc"
            f" (on Debian: apt-get install conmon crun runc){f' ({found})' if found else ''}"
        )

    def compile_filter(self, name: str, spec: dict[str, Any]) -> None:
        """Add the compiled seccomp filter to a runtime spec, for a runtime that takes one.

        The profile stays, for a runtime that would not know the annotation any more.
        Blocking: some milliseconds for a profile that is new here.
        """
        profile = spec["linux"].get("seccomp")
        annotations: dict[str, str] = spec.get("annotations", {})
        # A user's word to crun about how profiles are read counts, so crun has to read them.
        if (
            profile is None
            or name not in self._precompiled
            or any(key.startswith("run.oci.seccomp") for key in annotations)
        ):
            return
        program = self._filters.compile(profile)
        if program is not None:
            spec["annotations"] = {**annotations, ANNOTATION: program}

    def expect_moves(self) -> None:
        """Say that a runtime will soon put a process into its cgroup, which is faster then."""
        if self._expecting is None or self._expecting.done():
            self._expecting = self._engine.spawn(asyncio.to_thread(self._moves.expect))

    async def create(self, runtime: OCIRuntime, plan: ContainerPlan, program: str) -> Monitored:
        """Make a container that waits to be started.

        Raises:
            StartFailure: in dockerd's words.
        """
        self.expect_moves()
        with _explained(program):
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
            plan: what to run.
            program: its first argument, for messages.
            ready: connects the clients, before the process runs.

        Raises:
            StartFailure: in dockerd's words.
        """
        self.expect_moves()
        with _explained(program, is_exec=True):
            return await self.conmon.exec(runtime, plan, ready)

    # ---- what there is -----------------------------------------------------------

    def programs(self) -> list[tuple[str, str, str]]:
        """Name, path and version of what containers are run by, for ``GET /version``."""
        return [
            (name, str(runtime.path), _version(runtime.version))
            for name, runtime in self.usable.items()
        ]

    @property
    def log_drivers(self) -> list[str]:
        """Names of the log drivers, for ``GET /info``; ``none`` is not listed there."""
        return sorted(name for name in LOG_DRIVERS if name != "none")

    @property
    def default_version(self) -> str:
        """The version of the default runtime, empty if it does not work."""
        runtime = self.usable.get(self.default)
        return _version(runtime.version) if runtime else ""

    @property
    def warnings(self) -> list[str]:
        """What ``GET /info`` has to say about the programs."""
        if self.usable and "conmon" not in self.problems:
            return []
        return [f"WARNING: {self._explanation()}"]

    @property
    def init_binary(self) -> str:
        """The name of the init program, empty if there is none."""
        return Path(self.init_path).name if self.init_path else ""

    def _find_init(self) -> str:
        if self._engine.config.init_path:
            return self._engine.config.init_path
        found = find_programs(INIT_PROGRAMS)
        return next((str(found[name]) for name in INIT_PROGRAMS if name in found), "")

    def _host(self) -> Host:
        kernel = self.facts.kernel_version.split(".")
        return Host(
            bounding=frozenset(capabilities.bounding()),
            architecture=self.facts.go_architecture,
            kernel=(int(kernel[0]), int(kernel[1])),
            cgroup=_LAYOUTS[self.cgroups.layout],
            seccomp=self.facts.seccomp,
            apparmor=self.facts.apparmor,
            limits=ProcessLimits(
                hard={
                    name: hard
                    for name in NAMES
                    if (hard := rlimits.limits(name)[1]) != rlimits.INFINITY
                },
                may_raise=rlimits.can_raise(),
                open_files=_number("/proc/sys/fs/nr_open", 1 << 20),
                oom_score_floor=-1000
                if rlimits.can_raise()
                else _number("/proc/self/oom_score_adj", 0),
            ),
        )

    @property
    def features(self) -> CgroupFeatures:
        """What cgroups can limit; looked at once more when the first of ours is there.

        In the first generation some things can be seen in cgroups below the root only.
        """
        trees, parent = self.cgroups.trees, self._engine.config.cgroup_root.strip("/")
        below = any((tree / parent).exists() for tree in trees[:1])
        if below not in self._features:
            found = self.cgroups.features()
            blkio = self.cgroups.controllers.get("blkio")
            usual = self.usable.get(self.default)
            if blkio is not None and usual is not None and usual.kind == "crun":
                # In the first generation crun knows the file of a scheduler that is no more.
                weighs = any(True for _ in blkio.glob("*/blkio.weight"))
                found = replace(found, blkio_weight=weighs, blkio_weight_device=weighs)
            self._features[below] = found
        return self._features[below]

    def _numbers(self, which: int) -> frozenset[int]:
        """The processors or the memory nodes that containers may use; empty if not known."""
        try:
            return parse_cpuset(self.cgroups.available()[which])
        except ValueError:
            return frozenset()

    def create_facts(self) -> CreateFacts:
        """What validation at create has to know."""
        config = self._engine.config
        return CreateFacts(
            host=self.host,
            cpus=self.facts.ncpu,
            cpuset_cpus=self._numbers(0) or frozenset(range(self.facts.ncpu)),
            cpuset_mems=self._numbers(1) or frozenset({0}),
            features=self.features,
            runtimes=frozenset(
                {*self.usable, self.default, *(s for s, n in _SHIMS.items() if n in self.usable)}
            ),
            default_log_driver=config.log_driver,
            path_exists=os.path.exists,
            init_path=self.init_path,
            default_init=config.init,
            default_ulimits=self.default_ulimits,
            default_seccomp=self.default_seccomp,
            no_new_privileges=config.no_new_privileges,
            realtime=config.cpu_rt_runtime > 0,
            ip_forwarding=facts.ip_forwarding(),
            cgroup_namespaces=self.facts.cgroup_namespaces,
            selinux=self.facts.selinux,
            recursive_read_only=bool(self._recursive),
            subnets_of=self._engine.networks.subnets,
        )

    def close(self) -> None:
        """Let go of the spawners."""
        for spawner in self._spawners.values():
            spawner.close()


@contextlib.contextmanager
def _explained(program: str, *, is_exec: bool = False) -> Iterator[None]:
    try:
        yield
    except RuntimeFailure as failure:
        explanation = explain(failure.message, program=program, is_exec=is_exec)
        kind = _NotRunnable if explanation.is_callers else StartFailure
        raise kind(explanation.message, explanation.exit_code) from None


async def _knows_rro(runtime: OCIRuntime) -> bool:
    first = _RECURSIVE_READ_ONLY.get(runtime.kind)
    if first is None:
        return "rro" in ((await runtime.features()).get("mountOptions") or ())
    numbers = _version(runtime.version).split(".")
    return numbers[0].isdigit() and tuple(int(n) for n in numbers[:2] if n.isdigit()) >= first


def _version(text: str) -> str:
    """``1.8.1`` out of ``crun version 1.8.1`` and more lines."""
    words = text.partition("\n")[0].split()
    return words[-1] if words else ""


def _number(path: str, default: int) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return default


def _seccomp(profile: str) -> str:
    """The engine's default profile: a word, or the text of the file that is named.

    Raises:
        InvalidParameter: the file can't be read.
    """
    if profile in ("", "builtin", "unconfined"):
        return profile or "builtin"
    try:
        return Path(profile).read_text()
    except OSError as error:
        raise InvalidParameter(f"opening seccomp profile ({profile}) failed: {error}") from None
