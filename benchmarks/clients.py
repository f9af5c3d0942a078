"""Compares Palan's client with docker-py and aiodocker, in one run, against the same engine.

    sudo python benchmarks/clients.py                      # against Debian's dockerd
    sudo python benchmarks/clients.py --engine palan --only 'ping|list'

Every figure is the median of rounds in which the clients alternate, so that load on the machine
disturbs all of them alike; compare figures of one run only.
"""

import argparse
import asyncio
import gc
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from engines import Dockerd, Engine, Palan, Podman


ENGINES: dict[str, type[Engine]] = {"dockerd": Dockerd, "palan": Palan, "podman": Podman}
IMAGE = "busybox:latest"
LINE = b"0123456789abcdef" * 6 + b"abc\n"  # 100 bytes
LOG_BYTES = 256 << 20
EXPORT_BYTES = 1 << 30


class Subject:
    """A client library, with the operations that are compared."""

    name = ""

    async def open(self, url: str) -> None: ...
    async def close(self) -> None: ...
    async def ping(self) -> None: ...
    async def list(self) -> int: ...
    async def cycle(self) -> None: ...
    async def exec(self, container: str) -> bytes: ...
    async def logs(self, container: str) -> int: ...
    async def export(self, container: str) -> int: ...


class PalanSync(Subject):
    name = "palan"

    async def open(self, url: str) -> None:
        import palan

        self.client = palan.Client(url)

    async def close(self) -> None:
        self.client.close()

    async def ping(self) -> None:
        self.client.system.ping()

    async def list(self) -> int:
        return len(self.client.containers.list(all=True))

    async def cycle(self) -> None:
        made = self.client.containers.create(image=IMAGE, cmd=["true"])
        self.client.containers.start(made.id)
        self.client.containers.wait(made.id)
        self.client.containers.remove(made.id)

    async def exec(self, container: str) -> bytes:
        return self.client.exec.run(container, ["echo", "hi"]).stdout

    async def logs(self, container: str) -> int:
        with self.client.containers.logs(container, stdout=True, stderr=True) as logs:
            return sum(len(output.data) for output in logs)

    async def export(self, container: str) -> int:
        with self.client.containers.export(container) as archive:
            return sum(len(data) for data in archive)


class PalanAsync(Subject):
    name = "palan async"

    async def open(self, url: str) -> None:
        import palan

        self.client = palan.AsyncClient(url)

    async def close(self) -> None:
        await self.client.close()

    async def ping(self) -> None:
        await self.client.system.ping()

    async def list(self) -> int:
        return len(await self.client.containers.list(all=True))

    async def cycle(self) -> None:
        made = await self.client.containers.create(image=IMAGE, cmd=["true"])
        await self.client.containers.start(made.id)
        await self.client.containers.wait(made.id)
        await self.client.containers.remove(made.id)

    async def exec(self, container: str) -> bytes:
        return (await self.client.exec.run(container, ["echo", "hi"])).stdout

    async def logs(self, container: str) -> int:
        size = 0
        async with self.client.containers.logs(container, stdout=True, stderr=True) as logs:
            async for output in logs:
                size += len(output.data)
        return size

    async def export(self, container: str) -> int:
        size = 0
        async with self.client.containers.export(container) as archive:
            async for data in archive:
                size += len(data)
        return size


class DockerPy(Subject):
    name = "docker-py"

    async def open(self, url: str) -> None:
        import docker

        self.client = docker.DockerClient(base_url=url, version="auto")

    async def close(self) -> None:
        self.client.close()

    async def ping(self) -> None:
        self.client.ping()

    async def list(self) -> int:
        return len(self.client.containers.list(all=True))

    async def cycle(self) -> None:
        made = self.client.containers.create(IMAGE, ["true"])
        made.start()
        made.wait()
        made.remove()

    async def exec(self, container: str) -> bytes:
        # Like the other clients: by id, without looking the container up first.
        api = self.client.api
        made = api.exec_create(container, ["echo", "hi"])
        output = api.exec_start(made["Id"])
        api.exec_inspect(made["Id"])
        return bytes(output)

    async def logs(self, container: str) -> int:
        stream = self.client.api.logs(container, stdout=True, stderr=True, stream=True)
        return sum(len(data) for data in stream)

    async def export(self, container: str) -> int:
        return sum(len(data) for data in self.client.api.export(container))


class AioDocker(Subject):
    name = "aiodocker"

    async def open(self, url: str) -> None:
        import aiodocker

        self.client = aiodocker.Docker(url=url)

    async def close(self) -> None:
        await self.client.close()

    async def ping(self) -> None:
        async with self.client._query("_ping", versioned_api=False) as response:
            await response.read()

    async def list(self) -> int:
        return len(await self.client.containers.list(all=True))

    async def cycle(self) -> None:
        made = await self.client.containers.create({"Image": IMAGE, "Cmd": ["true"]})
        await made.start()
        await made.wait()
        await made.delete()

    async def exec(self, container: str) -> bytes:
        made = await self.client.containers.container(container).exec(["echo", "hi"])
        output = b""
        async with made.start() as stream:
            while message := await stream.read_out():
                output += message.data
        await made.inspect()
        return output

    async def logs(self, container: str) -> int:
        found = self.client.containers.container(container)
        size = 0
        async for line in found.log(stdout=True, stderr=True, follow=True):
            size += len(line)
        return size

    async def export(self, container: str) -> int:
        size = 0
        async with self.client._query(f"containers/{container}/export") as response:
            async for data in response.content.iter_any():
                size += len(data)
        return size


SUBJECTS: list[type[Subject]] = [PalanSync, PalanAsync, DockerPy, AioDocker]


def import_times(rounds: int) -> dict[str, list[float]]:
    """Measure the import in a fresh interpreter, in milliseconds of processor time."""
    programs = {
        "palan": "import palan",
        "palan.Client(...)": "import palan; palan.Client('unix:///x')",
        "docker-py": "import docker",
        "aiodocker": "import aiodocker",
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        empty = _run("pass")
        for name, program in programs.items():
            times[name].append(_run(program) - empty)
    return times


def _run(program: str) -> float:
    """Run a program, and return its milliseconds of processor time, which load hardly changes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used * 1000


async def compare(
    subjects: list[Subject], rounds: int, calls: int, work: Callable[[Subject], Awaitable[Any]]
) -> dict[str, list[float]]:
    """Measure the milliseconds per call of each client, alternating between them."""
    times: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for subject in subjects:
        await work(subject)
    for _ in range(rounds):
        for subject in subjects:
            gc.collect()
            began = time.perf_counter()
            for _ in range(calls):
                await work(subject)
            times[subject.name].append((time.perf_counter() - began) * 1000 / calls)
    return times


def reading(kind: str, subject: str, url: str, container: str) -> tuple[float, ...]:
    """Measure a process that only reads: seconds, processor seconds, MB of growth, bytes."""
    program = Path(__file__).resolve()
    done = subprocess.run(
        [sys.executable, program, "--child", kind, subject, url, container],
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


async def child(kind: str, name: str, url: str, container: str) -> None:
    subject = next(made for made in SUBJECTS if made.name == name)()
    await subject.open(url)
    await subject.ping()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, processor = time.perf_counter(), time.process_time()
    size = await getattr(subject, kind)(container)
    seconds = time.perf_counter() - began
    used = time.process_time() - processor
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    await subject.close()
    print(json.dumps([seconds, used, growth, size]))


async def many_waits(url: str, container: str, count: int) -> tuple[float, float]:
    """Measure ``count`` concurrent waits: seconds until all are answered, and MB of memory."""
    import palan

    async with palan.AsyncClient(url) as client:
        await client.system.ping()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        waits = [asyncio.create_task(client.containers.wait(container)) for _ in range(count)]
        await asyncio.sleep(3)
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert not any(wait.done() for wait in waits)
        await client.containers.kill(container)
        began = time.perf_counter()
        codes = {answer.status_code for answer in await asyncio.gather(*waits)}
        assert codes == {137}, codes
        return time.perf_counter() - began, growth


def show(title: str, times: dict[str, list[float]], unit: str = "ms") -> None:
    best = {name: statistics.median(values) for name, values in times.items()}
    cells = "  ".join(f"{name} {value:9.3f}" for name, value in best.items())
    print(f"{title:34} {cells}  {unit}", flush=True)


def start_containers(engine: Engine) -> Iterator[str]:
    """Start the container for exec, the one for logs and the one for export; yield their ids."""
    client = engine.client

    def start(*command: str) -> str:
        made = client.json("POST", "/containers/create", {"Image": IMAGE, "Cmd": list(command)})[
            "Id"
        ]
        client.call("POST", f"/containers/{made}/start")
        return str(made)

    yield start("sleep", "1000000")
    text = LINE.decode().strip()
    yield start("sh", "-c", f"yes {text} | head -c {LOG_BYTES}")
    yield start("sh", "-c", f"head -c {EXPORT_BYTES} /dev/urandom > /big")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="dockerd")
    parser.add_argument("--only", default=".", help="a pattern of the measurements to run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--child", nargs=4)
    given = parser.parse_args()
    if given.child:
        await child(*given.child)
        return
    wanted = re.compile(given.only)
    if wanted.search("import"):
        show("import (processor)", import_times(given.rounds))
    base = Path(tempfile.mkdtemp(prefix="palan-clients-", dir="/var/tmp"))
    run = Path(tempfile.mkdtemp(prefix="palan-clients-", dir="/run"))
    engine = ENGINES[given.engine](base, run)
    try:
        engine.start()
        engine.load_image()
        print(f"engine: {given.engine} {engine.version()}; load {os.getloadavg()[0]:.1f}")
        await measure(engine, wanted, given.rounds)
    finally:
        engine.close()


async def measure(engine: Engine, wanted: re.Pattern[str], rounds: int) -> None:  # noqa: C901 - a list
    sleeper, writer, big = start_containers(engine)
    subjects = [kind() for kind in SUBJECTS]
    for subject in subjects:
        await subject.open(engine.url)
    if wanted.search("ping"):
        show("ping", await compare(subjects, rounds, 200, lambda one: one.ping()))
    if wanted.search("exec"):
        show("exec", await compare(subjects, rounds, 3, lambda one: one.exec(sleeper)))
    if wanted.search("cycle"):
        show("create+start+wait+remove", await compare(subjects, rounds, 1, lambda s: s.cycle()))
    if wanted.search("list"):
        made = [
            engine.client.json("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["true"]})
            for _ in range(100)
        ]
        show("list of 100 containers", await compare(subjects, rounds, 3, lambda one: one.list()))
        for one in made:
            engine.client.call("DELETE", f"/containers/{one['Id']}")
    for subject in subjects:
        await subject.close()
    for kind, container, least in (("logs", writer, LOG_BYTES), ("export", big, EXPORT_BYTES)):
        if wanted.search(kind):
            engine.client.json("POST", f"/containers/{container}/wait")
            for subject in subjects:
                seconds, used, growth, size = reading(kind, subject.name, engine.url, container)
                assert size >= least, (subject.name, size)
                print(
                    f"{kind:10} {subject.name:12} {size / 1e6 / seconds:8.1f} MB/s  "
                    f"{used:6.2f} s of processor  +{growth:.1f} MB",
                    flush=True,
                )
    if wanted.search("waits"):
        seconds, growth = await many_waits(engine.url, sleeper, 1000)
        print(f"1,000 waits with AsyncClient: answered in {seconds:.2f} s, +{growth:.1f} MB")


if __name__ == "__main__":
    asyncio.run(main())
