"""stats, top and update with third-party clients: the docker command and docker-py."""

from collections.abc import Iterator
from typing import Any

import docker as docker_py
import pytest
from docker.errors import APIError
from tests.support.crash import eventually
from tests.support.docker_cli import Docker
from tests.support.engine import TestEngine


pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BUSY = "head -c 20000000 /dev/zero > /dev/shm/x; while :; do :; done"


@pytest.fixture(params=["1.24", "1.41", "auto"])
def client(engine: TestEngine, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = docker_py.DockerClient(base_url=engine.url, version=request.param, timeout=30)
    yield made
    made.close()


def test_docker_stats(docker: Docker):
    docker("run", "-d", "--name", "busy", "-m", "64m", "--cpus", "0.5", "busybox", "sh", "-c", BUSY)
    docker("run", "-d", "--name", "idle", "--network", "none", "busybox", "sleep", "60")
    docker("create", "--name", "never", "busybox", "true")
    form = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}} {{.NetIO}} {{.BlockIO}}"

    def lines() -> dict[str, list[str]]:
        found = docker("stats", "--no-stream", "--format", form).lines
        return {line.split()[0]: line.split()[1:] for line in found}

    eventually(lambda: "MiB" in lines()["busy"][1])
    found = lines()
    assert set(found) == {"busy", "idle"}
    assert 1 < float(found["busy"][0].rstrip("%")) < 110
    assert found["busy"][3:5] == ["64MiB", "1"] or found["busy"][2:4] == ["/", "64MiB"]
    assert float(found["idle"][0].rstrip("%")) < 5
    everything = docker("stats", "--no-stream", "-a", "--format", "{{.Name}}").lines
    assert set(everything) == {"busy", "idle", "never"}
    assert "No such container" in docker("stats", "--no-stream", "absent", code=1).err


def test_docker_top(docker: Docker):
    docker("run", "-d", "--name", "web", "busybox", "sh", "-c", "sleep 60 & sleep 70")
    eventually(lambda: len(docker("top", "web").lines) == 3)
    heading, *processes = docker("top", "web", "-o", "pid,args").lines
    assert heading.split() == ["PID", "COMMAND"]
    assert {line.split(maxsplit=1)[1].strip() for line in processes} == {"sleep 60", "sleep 70"}
    assert "USER" in docker("top", "web", "aux").out
    docker("stop", "-t", "0", "web")
    assert "is not running" in docker("top", "web", code=1).err


def test_docker_update(docker: Docker):
    docker("run", "-d", "--name", "web", "busybox", "sleep", "60")
    done = docker(
        *("update", "-m", "64m", "--memory-swap", "64m", "--pids-limit", "30"),
        *("--cpus", "0.5", "--cpuset-cpus", "0", "--restart", "on-failure:2", "web"),
    )
    assert done.lines == ["web"]
    template = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy}}"
    assert docker.inspect("web", template) == f"{64 << 20} 30 {{on-failure 2}}"
    assert docker("exec", "web", "nproc").word == "1"
    assert "Minimum memory limit" in docker("update", "-m", "1k", "web", code=1).err
    assert "already set memoryswap" in docker("update", "-m", "128m", "web", code=1).err
    assert "No such container" in docker("update", "-m", "64m", "absent", code=1).err


def test_docker_py(client: Any):
    container = client.containers.run("busybox", ["sh", "-c", BUSY], detach=True, mem_limit="64m")
    sample = container.stats(stream=False)
    assert sample["memory_stats"]["limit"] == 64 << 20
    assert sample["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    stream = container.stats(stream=True, decode=True)
    first, second = next(stream), next(stream)
    assert second["preread"] == first["read"]
    stream.close()
    assert container.top()["Titles"][0] == "UID"
    assert len(container.top(ps_args="-o pid,args")["Processes"]) == 1
    assert container.update(mem_limit="32m", memswap_limit="64m", cpu_shares=300) == {
        "Warnings": None
    }
    container.reload()
    assert container.attrs["HostConfig"]["CpuShares"] == 300
    container.update(restart_policy={"Name": "on-failure", "MaximumRetryCount": 3})
    with pytest.raises(APIError) as caught:
        container.update(mem_limit="1k")
    assert caught.value.status_code == 400
