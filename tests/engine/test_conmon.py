"""The real conmon and OCI runtimes of this machine, with a root filesystem of busybox."""

import asyncio
import json
import os
import shutil
import signal
import time
from typing import Any

import pytest
from tests.support.http import text_of

from palan.api.frames import FrameDecoder
from palan.engine.streams import (
    DEFAULT_KEYS,
    AttachPoint,
    LogOptions,
    LogQuery,
    read_logs,
)
from palan.engine.streams.segments import assign_number
from palan.host import cgroups, mounts, processes
from palan.host.conmon import LOST, Conmon, ContainerPlan, ExecPlan, find_monitors
from palan.host.oci_failures import explain
from palan.host.oci_probe import Prober
from palan.host.oci_runtime import OCIRuntime, RuntimeFailure, find_programs, read_only_copy
from palan.host.spawn import HYBRID_CGROUP2, RuntimeView, Spawner


pytestmark = pytest.mark.root

APPLETS = "sh echo true cat sleep dd head wc stty seq printf tail env kill"
CGROUP = f"/palan-test-conmon-{os.getpid()}"


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    root = tmp_path_factory.mktemp("rootfs")
    for name in ("bin", "proc", "dev", "tmp", "etc"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in APPLETS.split():
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc" / "plain").write_text("no program\n")
    yield root
    assert cgroups.remove(cgroups.detect().directories(CGROUP)) == []


@pytest.fixture(params=["crun", "runc"])
async def runtime(request, tmp_path):
    program = find_programs([request.param]).get(request.param)
    if program is None or shutil.which("conmon") is None:
        pytest.skip(f"{request.param} or conmon is not installed")
    spawners = {"direct": Spawner(), "legacy": Spawner(RuntimeView(HYBRID_CGROUP2))}
    outcome = await Prober(None, tmp_path, cgroup_parent=CGROUP).probe(program, spawners)
    if not outcome.works:
        pytest.skip(f"{request.param} does not work here: {outcome.error}")
    made = OCIRuntime(
        request.param,
        program,
        tmp_path / "state",
        spawners[outcome.spawner],
        version=outcome.version,
    )
    yield made
    for name in made.containers():
        await made.delete(name, force=True)
    for spawner in spawners.values():
        spawner.close()


class Bench:
    """Makes containers in a temporary directory."""

    def __init__(self, runtime, rootfs, directory):
        self.runtime, self.rootfs, self.directory = runtime, rootfs, directory
        self.conmon = Conmon()
        self.made = []
        (directory / "exits").mkdir()
        (directory / "execs").mkdir()
        self.number = 0

    def plan(self, *args, tty=False, log=True, change=None, name="", **options):
        self.number += 1
        name = name or f"c{self.number}"
        bundle = self.directory / "bundles" / name
        bundle.mkdir(parents=True)
        config = {
            "ociVersion": "1.0.2",
            "process": self.process(*args, tty=tty),
            "root": {"path": str(self.rootfs), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "source": "devpts",
                    "options": ["newinstance", "ptmxmode=0666", "mode=0620"],
                },
            ],
            "linux": {
                "cgroupsPath": f"{CGROUP}/{name}",
                "namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts", "network")],
            },
        }
        if change is not None:
            change(config)
        (bundle / "config.json").write_text(json.dumps(config))
        return ContainerPlan(
            id=name,
            bundle=bundle,
            exits=self.directory / "exits",
            log=bundle / "container.log" if log else None,
            tty=tty,
            **options,
        )

    def process(self, *args, tty=False):
        return {
            "terminal": tty,
            "user": {"uid": 0, "gid": 0},
            "args": list(args),
            "env": ["PATH=/bin"],
            "cwd": "/",
        }

    async def create(self, *args, **options):
        plan = self.plan(*args, **options)
        container: Any = await self.conmon.create(self.runtime, plan)
        container.plan = plan
        self.made.append(container)
        return container

    async def start(self, container, point=None):
        if point is not None:
            await point.opened(container.directory)
        await self.runtime.start(container.plan.id)

    async def logs(self, container, *, follow=False, ended=None, **options):
        query = LogQuery(LogOptions(**options), follow=follow)
        stream = read_logs(container.plan.log, query, ended)
        return b"".join([chunk async for chunk in stream.chunks])

    async def exec(self, container, *args, tty=False, stdin=False, ready=None):
        self.number += 1
        plan = ExecPlan(
            id=f"e{self.number}",
            container=container.plan.id,
            directory=self.directory / "execs" / f"e{self.number}",
            process=self.process(*args, tty=tty),
            tty=tty,
            stdin=stdin,
        )
        made = await self.conmon.exec(
            self.runtime, plan, None if ready is None else lambda: ready(plan.directory)
        )
        self.made.append(made)
        return made


@pytest.fixture
async def bench(runtime, rootfs, tmp_path):
    made = Bench(runtime, rootfs, tmp_path)
    yield made
    for container in made.made:
        container.signal(signal.SIGKILL)
    for container in made.made:
        async with asyncio.timeout(10):
            await container.wait()


async def collect(session):
    return b"".join([chunk async for chunk in session.output()])


async def test_life_of_a_container(bench, runtime):
    container = await bench.create("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (await runtime.state(container.plan.id))["status"] == "created"
    assert processes.is_alive(container.pid, container.start_time)
    before = time.time_ns()
    await runtime.start(container.plan.id)
    ended = await container.wait()
    assert (ended.code, ended.oom, ended.lost) == (3, False, False)
    assert before < ended.time < time.time_ns()
    assert container.exit == ended
    assert not container.signal(signal.SIGTERM)
    log = await bench.logs(container)
    assert log == b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"
    await runtime.delete(container.plan.id)
    assert runtime.containers() == []
    assert not [path for path in cgroups.detect().directories(f"{CGROUP}/c1") if path.exists()]
    await runtime.delete(container.plan.id)


async def test_shortcuts_are_taken(bench, runtime, monkeypatch):
    container = await bench.create("true")

    async def refuse(*command, **options):
        raise AssertionError(command, options)

    monkeypatch.setattr(runtime, "_run", refuse)
    await runtime.start(container.plan.id)
    await container.wait()
    await runtime.delete(container.plan.id)


async def test_without_shortcuts(bench, runtime):
    runtime.kind = "other"
    container = await bench.create("sleep", "100")
    await runtime.start(container.plan.id)
    assert (await runtime.state(container.plan.id))["status"] == "running"
    with pytest.raises(RuntimeFailure):
        await runtime.start(container.plan.id)
    with pytest.raises(RuntimeFailure):
        await runtime.delete(container.plan.id)
    await runtime.kill(container.plan.id, signal.SIGKILL)
    assert (await container.wait()).code == 137
    await runtime.delete(container.plan.id)
    with pytest.raises(RuntimeFailure, match=r"does not exist|No such file"):
        await runtime.state(container.plan.id)


async def test_kill_pause_update_delete_by_force(bench, runtime):
    container = await bench.create("sleep", "100")
    await runtime.start(container.plan.id)
    await runtime.update(container.plan.id, {"pids": {"limit": 77}})
    await runtime.pause(container.plan.id)
    assert (await runtime.state(container.plan.id))["status"] == "paused"
    await runtime.resume(container.plan.id)
    await runtime.delete(container.plan.id, force=True)
    assert (await container.wait()).code == 137
    assert isinstance(await runtime.features(), dict)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["/absent"], 127, 'init: exec: "/absent": stat /absent: no such file or directory'),
        (["absent"], 127, 'init: exec: "absent": executable file not found in $PATH'),
        (["/etc/plain"], 126, 'init: exec: "/etc/plain": permission denied'),
        (["/etc"], 126, "permission denied"),
    ],
)
async def test_start_failures(bench, runtime, args, code, words):
    plan = bench.plan(*args)
    with pytest.raises(RuntimeFailure) as caught:
        await bench.conmon.create(runtime, plan)
    explanation = explain(caught.value.message, program=args[0])
    assert explanation.exit_code == code
    assert explanation.message.startswith(
        "failed to create task for container: failed to create shim task: "
        "OCI runtime create failed: runc create failed: unable to start container process: "
    )
    assert explanation.message.endswith(words)
    await runtime.delete(plan.id, force=True)


async def test_broken_configuration(bench):
    def change(config):
        config["linux"]["sysctl"] = {"bogus": "1"}

    with pytest.raises(RuntimeFailure) as caught:
        await bench.create("true", change=change)
    explanation = explain(caught.value.message)
    assert explanation.exit_code == 128
    assert explanation.message == (
        "failed to create task for container: failed to create shim task: OCI runtime create "
        'failed: runc create failed: sysctl "bogus" is not in a separate kernel namespace'
    )


async def test_first_and_last_output_reach_clients(bench):
    for _ in range(10):
        point = AttachPoint(tty=False, stdin=False, stdin_once=False)
        sessions = [await point.attach(stdout=True, stderr=True) for _ in range(3)]
        container = await bench.create("sh", "-c", "echo first; seq 2000; echo last")
        outputs = [asyncio.ensure_future(collect(s)) for s in sessions]
        await bench.start(container, point)
        await container.wait()
        point.ended()
        for output in await asyncio.gather(*outputs):
            assert output[:14] == b"\x01\0\0\0\0\0\0\x06first\n" or output[8:13] == b"first"
            assert output.endswith(b"last\n")
        for session in sessions:
            await session.close()
        assert not point.sessions


async def test_run_interactively(bench):
    point = AttachPoint(tty=False, stdin=True, stdin_once=True)
    client = await point.attach(stdin=True, stdout=True)
    onlooker = await point.attach(stdout=True)
    container = await bench.create("sh", "-c", "wc -c; cat; echo end", stdin=True)
    output = asyncio.ensure_future(collect(client))
    await bench.start(container, point)
    await client.write(b"x" * 300_000)
    await onlooker.close()  # must not close stdin
    await asyncio.sleep(0.1)
    await client.write(b"y" * 50_000)
    await client.close_input()
    assert (await container.wait()).code == 0
    point.ended()
    # Two writes may arrive as one frame.
    assert text_of(await output, 1) == b"350000\nend\n"
    await client.close()


async def test_stdin_stays_open(bench):
    point = AttachPoint(tty=False, stdin=True, stdin_once=False)
    container = await bench.create(
        "sh",
        "-c",
        "read a; echo $a; read b; echo $b",
        stdin=True,
        keep_stdin=not point.closes_stdin,
    )
    await bench.start(container, point)
    for word in (b"one\n", b"two\n"):
        client = await point.attach(stdin=True, stdout=True)
        await client.write(word)
        await client.close_input()
        async with asyncio.timeout(5):
            await collect(client)
        await client.close()
    assert (await container.wait()).code == 0
    point.ended()
    assert await bench.logs(container, tty=True) == b"one\ntwo\n"


async def test_terminal(bench):
    point = AttachPoint(tty=True, stdin=True, stdin_once=True)
    detached = []
    client = await point.attach(
        stdin=True,
        stdout=True,
        stderr=True,
        detach_keys=DEFAULT_KEYS,
        detached=lambda: detached.append(1),
    )
    container = await bench.create(
        "sh",
        "-c",
        "stty size; read a; stty size; echo got $a",
        tty=True,
        stdin=True,
        keep_stdin=True,
    )
    container.resize(33, 77)
    await asyncio.sleep(0.05)
    await bench.start(container, point)
    chunks = client.output()
    assert await anext(chunks) == b"33 77\r\n"
    container.resize(40, 90)
    await asyncio.sleep(0.05)
    await client.write(b"hel\x10")
    await client.write(b"\x11ignored")
    assert client.detached
    assert detached == [1]
    assert [chunk async for chunk in chunks] in ([], [b"hel"])
    await client.close()
    other = await point.attach(stdin=True, stdout=True)
    await other.write(b"lo\n")
    output = asyncio.ensure_future(collect(other))
    await container.wait()
    point.ended()
    assert (await output).endswith(b"40 90\r\ngot hello\r\n")
    await other.close()


async def test_slow_client_loses_nothing(bench):
    point = AttachPoint(tty=False, stdin=False, stdin_once=False)
    client = await point.attach(stdout=True)
    container = await bench.create("dd", "if=/dev/zero", "bs=65536", "count=64", log=False)
    await bench.start(container, point)
    await asyncio.sleep(0.2)
    assert container.exit is None
    decoder, received = FrameDecoder(), 0
    async with asyncio.timeout(20):
        output = asyncio.ensure_future(container.wait())
        output.add_done_callback(lambda _: point.ended())
        async for chunk in client.output():
            received += sum(len(data) for _, data in decoder.feed(chunk))
    assert (received, decoder.pending) == (64 * 65536, 0)
    await client.close()


async def test_follow_to_the_end(bench):
    container = await bench.create(
        "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done; printf 4"
    )
    ended = asyncio.Event()
    reading = asyncio.ensure_future(bench.logs(container, follow=True, ended=ended, tty=True))
    await bench.start(container)
    await container.wait()
    ended.set()
    async with asyncio.timeout(5):
        assert await reading == b"1\n2\n3\n4"


async def test_follow_through_rotations(bench):
    container = await bench.create("sh", "-c", "for i in $(seq 300); do echo $i; sleep 0.003; done")
    ended = asyncio.Event()
    reading = asyncio.ensure_future(bench.logs(container, follow=True, ended=ended, tty=True))
    await bench.start(container)
    for _ in range(3):
        await asyncio.sleep(0.2)
        assign_number(container.plan.log)
        container.reopen_log()
    await container.wait()
    ended.set()
    expected = b"".join(b"%d\n" % i for i in range(1, 301))
    async with asyncio.timeout(5):
        assert await reading == expected
    assign_number(container.plan.log)
    assert await bench.logs(container, tty=True) == expected


async def test_exec(bench):
    container = await bench.create("sleep", "100")
    await bench.start(container)
    point = AttachPoint(tty=False, stdin=True, stdin_once=True)
    client = await point.attach(stdin=True, stdout=True, stderr=True)
    made = await bench.exec(
        container, "sh", "-c", "cat; echo err >&2; exit 7", stdin=True, ready=point.opened
    )
    await client.write(b"in\n")
    await client.close_input()
    assert (await made.wait()).code == 7
    point.ended()
    output = await collect(client)
    assert sorted(output.split(b"\n")) == [
        b"",
        b"\x01\0\0\0\0\0\0\x03in",
        b"\x02\0\0\0\0\0\0\x04err",
    ]
    await client.close()
    assert (await (await bench.exec(container, "sh", "-c", "exit 9")).wait()).code == 9


async def test_exec_with_a_terminal(bench):
    container = await bench.create("sleep", "100")
    await bench.start(container)
    point = AttachPoint(tty=True, stdin=True, stdin_once=True)
    client = await point.attach(stdin=True, stdout=True)
    made = await bench.exec(
        container,
        "sh",
        "-c",
        "read a; stty size; echo $a",
        tty=True,
        stdin=True,
        ready=point.opened,
    )
    made.resize(20, 40)
    await asyncio.sleep(0.05)
    await client.write(b"word\n")
    await made.wait()
    point.ended()
    assert await collect(client) == b"word\r\n20 40\r\nword\r\n"
    await client.close()


async def test_exec_failures(bench):
    container = await bench.create("sleep", "100")
    await bench.start(container)
    point = AttachPoint(tty=False, stdin=False, stdin_once=False)
    client = await point.attach(stdout=True)
    for ready in (None, point.opened):
        with pytest.raises(RuntimeFailure) as caught:
            await bench.exec(container, "/absent", ready=ready)
        explanation = explain(caught.value.message, program="/absent", is_exec=True)
        assert explanation.exit_code == 127
        assert explanation.message == (
            "OCI runtime exec failed: exec failed: unable to start container process: "
            'exec: "/absent": stat /absent: no such file or directory'
        )
    point.ended()
    assert await collect(client) == b""
    await client.close()


async def test_adopted_by_the_next_engine(bench, tmp_path):
    name = "c1" * 32
    container = await bench.create(
        "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done", name=name
    )
    await bench.start(container)
    await asyncio.sleep(0.1)
    found = find_monitors(tmp_path / "bundles")
    assert [(f.container, f.pid, f.start_time, f.is_exec) for f in found] == [
        (name, container.monitor, container.monitor_start_time, False)
    ]
    adopted = bench.conmon.adopt(
        pid=container.pid,
        start_time=container.start_time,
        monitor=container.monitor,
        monitor_start_time=container.monitor_start_time,
        directory=container.directory,
        exit_file=container.plan.exits / name,
    )
    assert adopted.signal(signal.SIGTERM)
    assert (await adopted.wait()).code == 5
    assert (await container.wait()).code == 5
    late = bench.conmon.adopt(
        pid=container.pid,
        start_time=container.start_time,
        monitor=container.monitor,
        monitor_start_time=container.monitor_start_time,
        directory=container.directory,
        exit_file=container.plan.exits / name,
    )
    assert (await late.wait()).code == 5


async def test_out_of_memory(bench):
    def limit(config):
        config["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}

    container = await bench.create("tail", "/dev/zero", change=limit)
    await bench.start(container)
    ended = await container.wait()
    assert (ended.code, ended.oom) == (137, True)


async def test_conmon_is_killed(bench):
    container = await bench.create("sleep", "100")
    await bench.start(container)
    os.kill(container.monitor, signal.SIGKILL)
    ended = await container.wait()
    assert (ended.code, ended.lost, ended.problem) == (LOST, True, "conmon was killed")
    assert not processes.is_alive(container.pid, container.start_time)


async def test_an_exit_code_that_can_not_be_written(bench):
    container = await bench.create("sh", "-c", "sleep 0.2; exit 3")
    await bench.start(container)
    exits = container.plan.exits
    exits.rename(exits.with_name("away"))
    ended = await container.wait()
    assert (ended.lost, str(exits) in ended.problem) == (True, True)
    # Linux 6.15 knows the exit code of a process that was reaped.
    assert ended.code == (3 if kernel() >= (6, 15) else LOST)
    again = await bench.create("sh", "-c", "exit 4")
    await bench.start(again)
    assert (await again.wait()).code == 4


def kernel():
    return tuple(map(int, os.uname().release.split(".")[:2]))


async def test_read_only_copy(bench, runtime, tmp_path):
    if runtime.kind != "crun":
        pytest.skip("only crun gains from it")
    original = runtime.path
    runtime.path = read_only_copy(original, tmp_path / "programs")
    assert read_only_copy(original, tmp_path / "programs") == runtime.path
    try:
        container = await bench.create("true")
        await bench.start(container)
        assert (await container.wait()).code == 0
    finally:
        mounts.unmount(runtime.path, lazy=True)
        runtime.path = original
