"""The client against real engines: Palan, and dockerd and podman where they are installed."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.engine import TestEngine
from tests.support.peers import peer

import palan
from palan.api.containers import HealthConfig
from palan.api.version import Version
from palan.client import errors


pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Any]:
    yield from peer("Dockerd")


@pytest.fixture(scope="module")
def podman() -> Iterator[Any]:
    yield from peer("Podman")


@pytest.fixture(params=["palan", "dockerd"])
def url(request: pytest.FixtureRequest) -> str:
    name = "engine" if request.param == "palan" else request.param
    return str(request.getfixturevalue(name).url)


@pytest.fixture
def docker(url: str) -> Iterator[palan.Client]:
    with palan.Client(url, environ={}) as client:
        yield client
        for one in client.containers.list(all=True):
            client.containers.remove(one.id, force=True, v=True)


def test_run_collects_output_and_exit_code(docker: palan.Client) -> None:
    result = docker.containers.run(
        "busybox:latest",
        "echo $WORD; echo problem >&2; pwd; cat",
        env={"WORD": "hello"},
        working_dir="/tmp",
        stdin=b"typed",
    )
    assert result[:3] == (0, b"hello\n/tmp\ntyped", b"problem\n")
    with pytest.raises(errors.ContainerFailed, match="ended with 3: problem") as caught:
        docker.containers.run("busybox:latest", "echo problem >&2; exit 3")
    assert (caught.value.exit_code, caught.value.stderr) == (3, b"problem\n")
    assert docker.containers.run("busybox:latest", "exit 4", check=False).exit_code == 4
    assert docker.containers.list(all=True) == []


def test_run_takes_much_both_ways(docker: palan.Client) -> None:
    data = os.urandom(4 << 20)
    assert docker.containers.run("busybox:latest", ["cat"], stdin=data).stdout == data


def test_run_leaves_nothing_behind_when_it_fails(docker: palan.Client) -> None:
    with pytest.raises(errors.Timeout):
        docker.containers.run("busybox:latest", ["sleep", "60"], timeout=1.5)
    with pytest.raises(errors.APIError, match="nonsense"):
        docker.containers.run("busybox:latest", ["nonsense"])
    with pytest.raises(errors.APIError, match="nonsense"):
        docker.containers.launch("busybox:latest", ["nonsense"])
    with pytest.raises(errors.ClientError):
        docker.containers.run("localhost:9/no/such:image")
    assert docker.containers.list(all=True) == []


def test_exec(docker: palan.Client) -> None:
    docker.containers.launch("busybox:latest", ["sleep", "600"], name="exec-here")
    assert docker.exec.run("exec-here", "echo out; echo err >&2; exit 5") == (5, b"out\n", b"err\n")
    assert docker.exec.run("exec-here", ["cat"], stdin=b"in", user="65534").stdout == b"in"
    assert docker.exec.run("exec-here", "echo $A; pwd", env=["A=b"], working_dir="/etc").stdout == (
        b"b\n/etc\n"
    )
    with pytest.raises(errors.Timeout):
        docker.exec.run("exec-here", ["sleep", "60"], timeout=0.5)
    with docker.exec.open("exec-here", ["sh"]) as session:
        session.send(b"echo one\n")
        first = session.next()
        assert first is not None
        assert first.data == b"one\n"
        session.send(b"exit 6\n")
        assert session.read() == b""
        assert session.exit_code() == 6


def test_logs_can_be_followed_and_closed(docker: palan.Client) -> None:
    name = docker.containers.launch("busybox:latest", "echo a; echo b >&2; sleep 600")
    with docker.containers.logs(name, follow=True, stdout=True, stderr=True) as logs:
        assert sorted([next(logs), next(logs)]) == [("stderr", b"b\n"), ("stdout", b"a\n")]
        timer = threading.Timer(0.3, logs.close)
        timer.start()
        with pytest.raises(errors.ClientClosed):
            logs.next()
        timer.join()
    quiet = docker.containers.logs(name, follow=True, stdout=True, tail="0", timeout=0.3)
    with pytest.raises(errors.Timeout), quiet:
        quiet.next()
    lines = docker.containers.logs(name, stdout=True, stderr=True).lines()
    assert sorted(lines) == ["a", "b"]


def test_logs_of_a_terminal_have_no_frames(docker: palan.Client) -> None:
    made = docker.containers.create(image="busybox:latest", cmd=["echo", "hi"], tty=True)
    docker.containers.start(made.id)
    docker.containers.wait(made.id)
    assert docker.containers.logs(made.id, stdout=True).read() == b"hi\r\n"


def test_events_and_lists(docker: palan.Client) -> None:
    since = str(time.time() - 1)
    made = docker.containers.launch("busybox:latest", ["true"], labels={"mark": "x"})
    docker.containers.wait(made)
    (found,) = docker.containers.list(all=True, filters={"label": "mark=x"})
    assert (found.id, found.labels) == (made, {"mark": "x"})
    assert docker.containers.inspect(made).state.exit_code == 0
    with docker.system.events(
        since=since, until=str(time.time() + 1), filters={"container": made}
    ) as events:
        actions = [event.action for event in events]
    assert {"create", "start", "die"} <= set(actions)


def test_statistics_and_processes(docker: palan.Client) -> None:
    name = docker.containers.launch("busybox:latest", ["sleep", "600"])
    with docker.containers.stats(name, stream=False) as stats:
        sample = stats.next()
    assert sample is not None
    assert docker.containers.top(name).processes


def test_errors_mean_something(docker: palan.Client) -> None:
    with pytest.raises(errors.NotFound) as caught:
        docker.containers.inspect("nobody")
    assert (caught.value.status, caught.value.path) == (404, "/containers/nobody/json")
    docker.containers.create(image="busybox:latest", cmd=["true"], name="taken")
    with pytest.raises(errors.Conflict):
        docker.containers.create(image="busybox:latest", cmd=["true"], name="taken")


def test_wait_healthy(docker: palan.Client) -> None:
    check = HealthConfig(test=["CMD-SHELL", "test -e /ok"], interval=200_000_000, retries=1000)
    name = docker.containers.launch(
        "busybox:latest", "sleep 1; touch /ok; sleep 600", healthcheck=check
    )
    assert docker.containers.wait_healthy(name, timeout=30).state.running
    plain = docker.containers.launch("busybox:latest", ["sleep", "600"])
    with pytest.raises(errors.ClientError, match="no health check"):
        docker.containers.wait_healthy(plain)
    short = docker.containers.launch("busybox:latest", "exit 3", healthcheck=check)
    with pytest.raises(errors.ContainerFailed):
        docker.containers.wait_healthy(short)


def test_copying(docker: palan.Client, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(os.urandom(300_000))
    (source / "link").symlink_to("deep/file")
    made = docker.containers.create(image="busybox:latest", cmd=["true"])
    docker.containers.copy_in(made.id, source, "/tmp")
    docker.containers.copy_in(made.id, f"{source}/.", "/tmp/contents")
    docker.containers.copy_in(made.id, source / "deep" / "file", "/tmp/renamed")
    docker.containers.copy_out(made.id, "/tmp/source", tmp_path / "back")
    docker.containers.copy_out(made.id, "/tmp/contents/.", tmp_path / "contents")
    docker.containers.copy_out(made.id, "/tmp/renamed", tmp_path)
    expected = (source / "deep" / "file").read_bytes()
    for path in ("back/deep/file", "back/link", "contents/deep/file", "renamed"):
        assert (tmp_path / path).read_bytes() == expected, path
    assert docker.containers.archive_info(made.id, "/tmp/renamed").size == len(expected)
    with pytest.raises(errors.NotFound):
        docker.containers.copy_out(made.id, "/no/such", tmp_path)
    with pytest.raises(errors.NotFound):
        docker.containers.copy_in("nobody", source, "/tmp")


def test_export_and_load(docker: palan.Client, tmp_path: Path) -> None:
    made = docker.containers.create(image="busybox:latest", cmd=["true"])
    assert docker.containers.export(made.id).save(tmp_path / "files.tar") > 1 << 20
    assert docker.images.get("busybox:latest").save(tmp_path / "image.tar") > 1 << 20
    with (tmp_path / "image.tar").open("rb") as file:
        docker.images.load(file).wait()
    assert docker.images.inspect("busybox:latest").id


def test_the_raw_door(docker: palan.Client) -> None:
    with docker.request("GET", "/containers/json", query={"all": True}) as response:
        assert (response.status, response.json()) == (200, [])
    with docker.request("GET", "/containers/none/json") as response:
        assert response.status == 404
        with pytest.raises(errors.NotFound):
            response.raise_for_status()
    with docker.request(
        "POST", "/containers/create", json={"Image": "busybox:latest", "Cmd": ["cat"],
                                            "OpenStdin": True, "StdinOnce": True}
    ) as response:  # fmt: skip
        identity = response.json()["Id"]
    with docker.request(
        "POST", f"/containers/{identity}/attach?stream=1&stdin=1&stdout=1", hijack=True
    ) as stream:
        assert stream.hijacked
        with docker.request("POST", f"/containers/{identity}/start") as response:
            assert response.status == 204
        stream.send(b"raw")
        stream.close_input()
        assert stream.read() == b"\x01\0\0\0\0\0\0\x03raw"


async def test_async_and_a_thousand_waits(url: str) -> None:
    async with palan.AsyncClient(url, environ={}) as docker:
        name = await docker.containers.launch("busybox:latest", ["sleep", "600"])
        waits = [asyncio.create_task(docker.containers.wait(name)) for _ in range(1000)]
        await asyncio.sleep(1)
        assert not any(wait.done() for wait in waits)
        assert (await docker.exec.run(name, "echo hi")).stdout == b"hi\n"
        await docker.containers.kill(name)
        assert {(await wait).status_code for wait in waits} == {137}
        await docker.containers.remove(name)
        assert (await docker.containers.run("busybox:latest", ["echo", "x"])).stdout == b"x\n"


async def test_a_cancelled_run_removes_its_container(url: str) -> None:
    async with palan.AsyncClient(url, environ={}) as docker:
        task = asyncio.create_task(docker.containers.run("busybox:latest", ["sleep", "600"]))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if await docker.containers.list():
                break
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await docker.containers.list(all=True) == []


def test_older_versions(docker: palan.Client, url: str) -> None:
    offered = docker.negotiate()
    for version in ("1.25", "1.30", "1.40", "1.41"):
        if Version.parse(version) > offered:
            continue
        with palan.Client(url, version=version, environ={}) as old:
            assert old.containers.run("busybox:latest", ["echo", version]).stdout.decode() == (
                f"{version}\n"
            )
            assert old.images.inspect("busybox:latest").id
            assert old.system.info().os_type == "linux"


def test_podman(podman: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with palan.Client(podman.url, environ={}) as docker:
        result = docker.containers.run("busybox:latest", "cat; echo x >&2; exit 3", stdin=b"in",
                                       check=False)  # fmt: skip
        assert result[:3] == (3, b"in", b"x\n")
        name = docker.containers.launch("busybox:latest", "echo a; sleep 600", name="pod")
        with docker.containers.logs(name, follow=True, stdout=True) as logs:
            assert logs.next() == ("stdout", b"a\n")
        assert docker.exec.run("pod", "cat; exit 4", stdin=b"y") == (4, b"y", b"")
        docker.containers.copy_in("pod", tmp_path / "file", "/tmp")
        docker.containers.copy_out("pod", "/tmp/file", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "text"
        assert [one.names for one in docker.containers.list()] == [["/pod"]]
        assert docker.images.list()
        assert docker.system.info().name
        assert docker.networks.list()
        assert docker.volumes.list().volumes == []
        docker.containers.remove("pod", force=True)


# ---- features that some engines lack -----------------------------------------------


@pytest.fixture
def classic(dockerd: Any) -> Iterator[palan.Client]:
    with palan.Client(dockerd.url, environ={}) as client:
        yield client


def test_build(classic: palan.Client, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox:latest\nARG WORD\nCOPY . /c\nRUN ls /c; echo $WORD\n"
    )
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "public").write_text("public")
    (tmp_path / ".dockerignore").write_text("secret\n")
    seen: list[str] = []
    built = classic.images.build(
        tmp_path, tags="built:1", build_args={"WORD": "given"}, labels={"a": "b"},
        no_cache=True, progress=lambda step: seen.append(step.stream or ""),
    )  # fmt: skip
    assert built.id.startswith("sha256:")
    assert "given\n" in built.output
    assert "public" in built.output
    assert "\nsecret" not in built.output
    assert "".join(seen) == built.output
    assert classic.images.inspect("built:1").id == built.id
    (tmp_path / "Dockerfile").write_text("FROM busybox:latest\nRUN exit 7\n")
    with pytest.raises(errors.OperationFailed, match="non-zero code: 7") as caught:
        classic.images.build(tmp_path)
    assert caught.value.code == 7
    classic.images.remove("built:1", force=True)


def test_attach_by_websocket(engine: TestEngine) -> None:
    with palan.Client(engine.url, environ={}) as docker:
        made = docker.containers.create(image="busybox:latest", cmd=["cat"], open_stdin=True)
        session = docker.containers.attach_websocket(
            made.id, stream=True, stdin=True, stdout=True, stderr=True
        )
        with session:
            docker.containers.start(made.id)
            session.send(b"through a socket of the web")
            got = b""
            while len(got) < 27:
                got += session.recv()
        assert got == b"through a socket of the web"
