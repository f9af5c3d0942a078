"""The engines that are compared: starting each of them separately, and removing it.

Each runs in a network and a mount namespace of its own.  So no engine sees another's bridge,
rules or mounts, and the kernel removes all of these with the engine's last process.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from client import Client
from image import busybox_archive
from processes import kill_all, of_engine, pss, tree


__all__ = ["Dockerd", "Engine", "Palan", "Podman"]

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 30.0
NAMESPACES = ("unshare", "--net", "--mount", "--", "sh", "-c", 'ip link set lo up && exec "$@"')
CGROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Engine:
    """An engine with directories and a socket of its own."""

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]  # programs that must be installed
    traces: ClassVar[tuple[str, ...]] = ()  # directories that it creates outside of its own
    inits: ClassVar[tuple[str, ...]] = ("docker-init", "tini")  # init programs that it can run
    cgroup: ClassVar[str] = ""  # the cgroup that it creates for all its containers

    def __init__(self, data: Path, run: Path) -> None:
        """Prepare an engine.

        Args:
            data: the directory for images and containers; on a disk, not on an overlay.
            run: the directory for its socket and run-time state.
        """
        self.data, self.run = data / self.name, run / self.name
        for directory in (self.data, self.run):
            directory.mkdir(parents=True)
        self.socket = self.run / "api.sock"
        self.client = Client(self.socket)
        self.process: subprocess.Popen[bytes] | None = None
        self._new_traces = [trace for trace in self.traces if not Path(trace).exists()]
        self._new_cgroups = [path for path in self._cgroups() if self.cgroup and not path.exists()]

    @classmethod
    def missing(cls) -> list[str]:
        """Return the programs that it needs and that are not installed."""
        return [program for program in cls.programs if not shutil.which(program, path=PATH)]

    @classmethod
    def has_init(cls) -> bool:
        """Return whether its containers can have an init process."""
        return any(shutil.which(program, path=PATH) for program in cls.inits)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {"PATH": PATH, "HOME": str(self.data)}

    def start(self) -> float:
        """Start the engine.

        Returns:
            The seconds until it answered its first ping.

        Raises:
            RuntimeError: the engine ended, or does not answer.
        """
        with (self.data / "log").open("ab") as log:
            began = time.perf_counter()
            self.process = subprocess.Popen(
                [*NAMESPACES, "sh", *self.command()],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while True:
            try:
                self.client.call("GET", "/_ping")
                return time.perf_counter() - began
            except OSError:
                self.client.close()
                if self.process.poll() is not None or time.perf_counter() - began > START_TIMEOUT:
                    text = (self.data / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.name} does not start: {text}") from None
                time.sleep(0.002)

    def stop(self) -> None:
        """Send SIGTERM, and wait for the engine's end."""
        self.client.close()
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)

    def load_image(self) -> None:
        self.client.call(
            "POST", "/images/load?quiet=1", busybox_archive(), content_type="application/x-tar"
        )
        self.client.call("GET", "/images/busybox:latest/json")

    def version(self) -> str:
        """Return the versions of the engine and its components, as the engine reports them."""
        answer = self.client.json("GET", "/version")
        parts = [
            f"{part['Name']} {part['Version'].split()[0]}"
            for part in answer.get("Components", ())
            if any(character.isdigit() for character in part.get("Version", ""))
        ]
        return ", ".join(parts) or str(answer["Version"])

    def processes(self) -> set[int]:
        """Return the pids of the engine and its helpers, without the processes of containers."""
        all_pids = of_engine(self.process.pid if self.process else None, self._marks())
        inside = [
            self.client.json("GET", f"/containers/{line['Id']}/json")["State"]["Pid"]
            for line in self.client.json("GET", "/containers/json")
        ]
        return all_pids - tree(inside)

    def memory(self) -> float:
        """Return the PSS of the engine and its helpers in MiB, without containers' processes."""
        return pss(self.processes())

    def close(self) -> None:
        """Stop the engine, and remove everything that it created."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(Exception):
                for line in self.client.json("GET", "/containers/json?all=1"):
                    self.client.remove(line["Id"])
            self.stop()
        kill_all(self.process.pid if self.process else None, self._marks())
        self.clean()
        for path in self._new_cgroups:
            for directory in [*sorted(path.rglob("*"), reverse=True), path]:
                if directory.is_dir():
                    _retry(directory.rmdir)
        for directory in (self.run, self.data, *map(Path, self._new_traces)):
            shutil.rmtree(directory, ignore_errors=True)

    def clean(self) -> None:
        """Remove what is left after the engine's processes have ended."""

    def _marks(self) -> list[str]:
        return [str(self.data), str(self.run)]

    def _cgroups(self) -> list[Path]:
        trees = [CGROUPS] if (CGROUPS / "cgroup.procs").exists() else sorted(CGROUPS.iterdir())
        return [tree / self.cgroup for tree in trees if not tree.is_symlink()]


class Palan(Engine):
    """This project's engine, run by the interpreter of the comparison."""

    name = "palan"
    programs = ("conmon",)

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "palan", "serve", "--host", self.url,
            "--data-root", str(self.data / "root"), "--exec-root", str(self.run / "exec"),
            "--pidfile", str(self.run / "pid"),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        # PYTHONPATH may select the engine of another checkout.
        return {**super().environment(), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}

    def clean(self) -> None:
        subprocess.run(
            [
                sys.executable, "-m", "palan", "system", "reset", "--yes",
                "--data-root", str(self.data / "root"), "--exec-root", str(self.run / "exec"),
            ],
            check=False, stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip


class Dockerd(Engine):
    """Docker's engine, with a containerd that it starts itself."""

    name = "dockerd"
    programs = ("dockerd", "containerd", "runc")
    traces = ("/etc/docker", "/run/containerd", "/run/docker", "/opt/containerd")
    cgroup = "docker"

    def command(self) -> list[str]:
        return [
            "dockerd", "--host", self.url,
            "--data-root", str(self.data / "root"), "--exec-root", str(self.run / "exec"),
            "--pidfile", str(self.run / "pid"), "--storage-driver", "overlay2",
        ]  # fmt: skip


class Podman(Engine):
    """podman's API service."""

    name = "podman"
    programs = ("podman", "runc", "conmon")
    traces = ("/var/lib/cni", "/run/cni", "/run/libpod", "/run/containers")
    cgroup = "libpod_parent"
    inits = ("catatonit", "/usr/libexec/podman/catatonit")

    def command(self) -> list[str]:
        return [
            "podman", "--root", str(self.data / "root"), "--runroot", str(self.run / "exec"),
            "--tmpdir", str(self.run / "tmp"), "--storage-driver", "overlay",
            "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
            "system", "service", "--time", "0", self.url,
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        # The default log driver, the journal, needs systemd; the other engines log to files.
        configuration = self.data / "containers.conf"
        networks = self.data / "networks"
        networks.mkdir(exist_ok=True)
        # podman's default limits may exceed the machine's; and it lowers its own limit of
        # processes to the kernel's before passing it on to containers.
        pids = int(Path("/proc/sys/kernel/pid_max").read_text())
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        processes = _lower_limit(pids, resource.getrlimit(resource.RLIMIT_NPROC)[1])
        limits = [f"nofile={files}:{files}", f"nproc={processes}:{processes}"]
        configuration.write_text(
            f'[containers]\nlog_driver = "k8s-file"\ndefault_ulimits = {json.dumps(limits)}\n'
            f"[network]\nnetwork_config_dir = {json.dumps(str(networks))}\n"
        )
        return {**super().environment(), "CONTAINERS_CONF": str(configuration)}


def _lower_limit(number: int, limit: int) -> int:
    return number if limit == resource.RLIM_INFINITY else min(number, limit)


def _retry(action: object, seconds: float = 5) -> None:
    """Repeat an action until the kernel no longer refuses it, or the time is over."""
    assert callable(action)
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
        else:
            return
