"""An engine with its own directories, socket, bridge, tables and cgroups, removed at the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.http import API
from tests.support.image import busybox_tar

from palan.engine.config import EngineConfig


IMAGE = "busybox:latest"


class TestEngine:
    """``palan serve`` in a process that can be killed and started again."""

    __test__ = False

    def __init__(self, *flags: str, without: Sequence[str] = ()) -> None:
        """Prepare an engine.

        Args:
            flags: flags of ``palan serve``.
            without: paths of programs that the engine shall not find.
        """
        self.base = Path(tempfile.mkdtemp(prefix="palan-test-"))
        self.data_root = self.base / "data"
        self.exec_root = Path(tempfile.mkdtemp(prefix="palan-test-", dir="/run"))
        self.socket = self.exec_root / "api.sock"
        self.flags = flags
        self.without = without
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.base / "log"
        self.api = API(self.socket)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def config(self) -> EngineConfig:
        return EngineConfig(data_root=str(self.data_root), exec_root=str(self.exec_root))

    def start(self, wait: float = 20) -> None:
        """Start the engine and wait for the first answered ping."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._hiding(), sys.executable, "-m", "palan", "serve",
                    "--data-root", self.data_root, "--exec-root", self.exec_root,
                    "--pidfile", self.base / "pid", "-H", self.url, "--debug", *self.flags,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + wait
        while True:
            try:
                assert self.api.get("/_ping").status == 200
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self.log.read_text()[-4000:]) from None
                time.sleep(0.01)
            else:
                return

    def _hiding(self) -> list[str]:
        if not self.without:
            return []
        hide = "".join(f"mount --bind /dev/null {path} && " for path in self.without)
        return ["unshare", "--mount", "sh", "-c", f'{hide}exec "$@"', "sh"]

    def kill(self) -> None:
        """Kill the engine with SIGKILL, like a crash."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Send SIGTERM, and wait for a clean end."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.log.read_text()[-4000:]

    def load_image(self) -> None:
        """Import the test image."""
        answer = self.api.post(
            "/images/create?fromSrc=-&repo=busybox&tag=latest&changes=CMD%20%5B%22sh%22%5D",
            busybox_tar(),
            headers={"Content-Type": "application/x-tar"},
        )
        assert answer.status == 200, answer.body
        assert b"error" not in answer.body, answer.body

    def create(self, *command: str, name: str = "", host: Any = None, **config: Any) -> str:
        """Create a container and return its id."""
        body = {"Image": IMAGE, "Cmd": list(command), "HostConfig": host or {}, **config}
        answer = self.api.post(f"/containers/create?name={name}", body)
        assert answer.status == 201, answer.body
        return str(answer.json["Id"])

    def run(self, *command: str, name: str = "", host: Any = None, **config: Any) -> str:
        """Create and start a container and return its id."""
        container = self.create(*command, name=name, host=host, **config)
        answer = self.api.post(f"/containers/{container}/start")
        assert answer.status == 204, answer.body
        return container

    def wait(self, container: str) -> int:
        """Wait for a container's end and return its exit code."""
        return int(self.api.post(f"/containers/{container}/wait").json["StatusCode"])

    def inspect(self, container: str) -> Any:
        return self.api.get(f"/containers/{container}/json").json

    def output(self, *command: str, host: Any = None, **config: Any) -> str:
        """Run a command in a new container, remove it, and return the text written to stdout."""
        container = self.run(*command, host=host, **config, Tty=True)
        self.wait(container)
        data = self.api.get(f"/containers/{container}/logs?stdout=1&stderr=1").body
        self.remove(container)
        return data.decode().replace("\r\n", "\n")

    def remove(self, container: str) -> None:
        answer = self.api.delete(f"/containers/{container}?force=1&v=1")
        assert answer.status in (204, 404, 409), answer.body

    def remove_all(self) -> None:
        for line in self.api.get("/containers/json?all=1").json:
            self.remove(line["Id"])

    def close(self) -> None:
        """Remove all containers, stop the engine, and remove its bridge, rules and files."""
        if self.process is not None and self.process.poll() is not None:
            self.start()
        self.remove_all()
        self.stop()
        subprocess.run(
            [sys.executable, "-m", "palan", "system", "reset", "--yes",
             "--data-root", self.data_root, "--exec-root", self.exec_root],
            check=True, stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.rmtree(self.exec_root, ignore_errors=True)


def below(root: Path) -> Iterator[Path]:
    """Yield all paths below a directory; some that are removed meanwhile may be missing."""
    for place, directories, files in os.walk(root):
        yield from (Path(place, name) for name in (*directories, *files))
        # A mounted filesystem counts as a mount, not by its files.
        directories[:] = [name for name in directories if name != "rootfs"]


class Footprint:
    """The resources of the machine that an engine and its containers use, for comparison."""

    def __init__(self, engine: TestEngine) -> None:
        marks = (str(engine.exec_root), str(engine.data_root))
        self.mounts = sorted(
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if any(mark in line for mark in marks)
        )
        links = json.loads(
            subprocess.run(["ip", "-j", "link"], check=True, capture_output=True).stdout
        )
        mark = f"{engine.config.table_name} "
        own = {link["ifname"] for link in links if link.get("ifalias", "").startswith(mark)}
        bridges = {*own, engine.config.bridge_name}
        self.interfaces = sorted(
            {*own, *(link["ifname"] for link in links if link.get("master") in bridges)}
            - {engine.config.bridge_name}
        )
        self.cgroups = sorted(
            str(path)
            for tree in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
            for path in below(tree / engine.config.cgroup_root.lstrip("/"))
            if path.is_dir()
        )
        self.processes = sorted(
            self._processes(marks) - {engine.process.pid if engine.process else 0}
        )
        self.netns = sorted(p.name for p in (engine.exec_root / "netns").glob("*"))
        self.files = sorted(
            str(p.relative_to(root))
            for root in (engine.exec_root, engine.data_root)
            for p in below(root)
            if not {"images", "seccomp"} & set(p.parts)
            and not p.name.startswith("palan.db")
            and p.parts[-2:] != ("work", "work")  # an overlay's, which stays for its next mount
        )
        table = subprocess.run(
            ["nft", "-j", "list", "table", "inet", engine.config.table_name],
            check=False, capture_output=True, text=True,
        ).stdout  # fmt: skip
        self.rules = [
            item for item in json.loads(table or "{}").get("nftables", []) if "metainfo" not in item
        ]
        for item in self.rules:
            for thing in item.values():
                thing.pop("handle", None)

    @staticmethod
    def _processes(marks: tuple[str, ...]) -> set[int]:
        found = set()
        for entry in (path.name for path in Path("/proc").iterdir()):
            if entry.isdigit():
                try:
                    command = Path("/proc", entry, "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if any(mark in command for mark in marks):
                    found.add(int(entry))
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Footprint) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return id(self)

    def difference(self, other: "Footprint") -> dict[str, tuple[Any, Any]]:
        """Return the differences by kind, for the message of a failed assertion."""
        mine, theirs = vars(self), vars(other)
        return {
            kind: (
                [item for item in mine[kind] if item not in theirs[kind]],
                [item for item in theirs[kind] if item not in mine[kind]],
            )
            for kind in mine
            if mine[kind] != theirs[kind]
        }
