"""Twenty concurrent clients, each with the docker CLI or docker-py; nothing is left behind."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest
from tests.support.crash import assert_quiet_log, assert_same_footprint, eventually
from tests.support.docker_cli import Docker
from tests.support.engine import Footprint, TestEngine
from tests.support.hostile import EngineUsage


pytestmark = [
    pytest.mark.root,
    # docker-py leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CLIENTS = 20
ROUNDS = 2
SECONDS = 45


def use(client: Any, number: int) -> None:
    """Do the work of one client, with names of its own for all objects."""
    deadline = time.monotonic() + SECONDS
    for turn in range(ROUNDS):
        assert time.monotonic() < deadline
        name = f"many-{number}-{turn}"
        container = client.containers.run(
            "busybox", ["sh", "-c", f"echo {name}; sleep 60"], detach=True, name=name,
            labels={"turn": str(turn)}, volumes={name: {"bind": "/data", "mode": "rw"}},
            ports={"80/tcp": ("127.0.0.1", None)} if number % 4 == 0 else None,
        )  # fmt: skip
        assert container.exec_run(["sh", "-c", f"echo {name} > /data/x; cat /data/x"]) == (
            0,
            f"{name}\n".encode(),
        )
        assert name in [c.name for c in client.containers.list(ignore_removed=True)]
        deadline_logs = time.monotonic() + 5
        while container.logs() != f"{name}\n".encode():
            assert time.monotonic() < deadline_logs
        if turn % 2:
            container.stop(timeout=0)
            assert container.wait()["StatusCode"] == 137
            container.remove(v=True)
        else:
            container.remove(force=True, v=True)
        client.volumes.get(name).remove()


def test_twenty_clients_at_once(engine: TestEngine):
    engine.remove(engine.run("true"))
    before = Footprint(engine)
    measure = EngineUsage(engine)

    def one(number: int) -> None:
        client = docker_py.DockerClient(base_url=engine.url, timeout=30)
        try:
            use(client, number)
        finally:
            client.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(CLIENTS)))
    assert_same_footprint(engine, before)
    eventually(lambda: EngineUsage(engine).descriptors <= measure.descriptors + 2)
    assert_quiet_log(engine)


def test_twenty_times_the_docker_cli_at_once(docker: Docker):
    engine = docker.engine
    docker("run", "--rm", "busybox", "true")
    before = Footprint(engine)

    def one(number: int) -> str:
        return docker("run", "--rm", "-i", "busybox", "cat", stdin=f"mine {number}").out

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert list(pool.map(one, range(CLIENTS))) == [f"mine {n}" for n in range(CLIENTS)]
    assert_same_footprint(engine, before)


def test_many_clients_of_one_container(docker: Docker):
    docker("run", "-d", "--name", "web", "busybox", "sleep", "60")

    def run(number: int) -> str:
        return docker("exec", "-i", "web", "cat", stdin=f"mine {number}").out

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert list(pool.map(run, range(40))) == [f"mine {number}" for number in range(40)]
    # All clients stop it at the same time: it stops once, without errors.
    with ThreadPoolExecutor(CLIENTS) as pool:
        assert len(list(pool.map(lambda _: docker("stop", "-t", "0", "web"), range(10)))) == 10
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: docker("start", "web"), range(10)))
    assert docker.inspect("web", "{{.State.Running}}") == "true"
    assert_quiet_log(docker.engine)


def test_one_name_wanted_by_many(docker: Docker):
    command = ["docker", "create", "--name", "web", "busybox"]

    def one(_: int) -> int:
        return subprocess.run(
            command, check=False, env=docker.env, capture_output=True, timeout=30
        ).returncode

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sorted(pool.map(one, range(CLIENTS))) == [0] + [1] * (CLIENTS - 1)
    assert docker("ps", "-aq").out.count("\n") == 1


def test_removed_while_it_is_used(docker: Docker):
    engine = docker.engine
    assert engine.process is not None
    for _ in range(3):
        docker("run", "-d", "--name", "web", "busybox", "sleep", "60")
        followers = [
            subprocess.Popen(
                ["docker", *arguments], env=docker.env, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for arguments in (
                ["logs", "-f", "web"],
                ["attach", "--no-stdin", "web"],
                ["wait", "web"],
                ["exec", "web", "sleep", "30"],
            )
        ]  # fmt: skip
        time.sleep(0.2)
        docker("rm", "-f", "web")
        for follower in followers:
            follower.wait(10)
    assert Path("/proc", str(engine.process.pid)).exists()
    assert_quiet_log(engine)
    assert not list((engine.exec_root / "netns").iterdir())
