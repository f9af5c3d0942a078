"""The docker CLI with the engine itself: version, info, events, df; and pending operations."""

import json
import re
import time
from pathlib import Path

import pytest
from tests.support.docker_cli import Docker, read_until

from palan.api.version import MAX_VERSION
from palan.engine.pending import PENDING


pytestmark = pytest.mark.root


def test_version_and_info(docker: Docker):
    document = json.loads(docker("version", "--format", "json").out)
    assert document["Server"]["MinAPIVersion"] == "1.24"
    assert document["Server"]["Os"] == "linux"
    assert docker("version", "--format", "{{.Server.APIVersion}}").word == str(MAX_VERSION)
    info = json.loads(docker("info", "--format", "json").out)
    assert not info.get("ServerErrors")
    assert info["OSType"] == "linux"
    assert info["Images"] == 1
    assert docker("info").err == ""
    docker("run", "-d", "busybox", "sleep", "60")
    assert docker("info", "--format", "{{.ContainersRunning}} {{.Containers}}").word == "1 1"


@pytest.mark.parametrize(
    "version", ["1.24", "1.25", "1.30", "1.35", "1.40", "1.41", "1.44", "1.48"]
)
def test_a_cli_that_speaks_an_older_version(docker: Docker, version: str):
    docker.env["DOCKER_API_VERSION"] = version
    assert docker("run", "--rm", "busybox", "echo", "hi").out == "hi\n"
    docker("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sleep", "60")
    assert docker("exec", "web", "echo", "hi").out == "hi\n"
    assert docker("ps", "--format", "{{.Names}} {{.State}}").word == "web running"
    assert docker.inspect("web", "{{.State.Running}}") == "true"
    assert docker("images", "-q").word
    assert docker("network", "ls", "-q").lines
    docker("info")
    docker("stop", "-t", "0", "web")
    docker("rm", "-v", "web")


def test_a_version_out_of_range_is_refused(docker: Docker):
    docker.env["DOCKER_API_VERSION"] = "1.23"
    assert "too old" in docker("ps", code=1).err
    docker.env["DOCKER_API_VERSION"] = "1.99"
    assert "too new" in docker("ps", code=1).err


def test_events(docker: Docker):
    began = time.time()
    with docker.background(
        "events", "--filter", "type=container", "--format", "{{.Action}}"
    ) as live:
        time.sleep(0.3)
        docker(
            "run", "--rm", "--name", "web", "-l", "tier=db", "busybox", "sh", "-c", "exit 3", code=3
        )
        seen = read_until(live, "destroy\n").split()
    assert seen == ["create", "attach", "start", "die", "destroy"]
    since = f"{began:.3f}"

    def past(*filters: str, template: str = "{{.Type}} {{.Action}}") -> list[str]:
        flags = [word for text in filters for word in ("--filter", text)]
        until = f"{time.time():.3f}"
        return docker(
            "events", "--since", since, "--until", until, "--format", template, *flags
        ).lines

    assert "network connect" in past()
    assert past("container=web", "event=die") == ["container die"]
    assert past("label=tier=db", "event=start") == ["container start"]
    assert past("label=tier=web") == []
    assert past("image=busybox", "event=create") == ["container create"]
    assert past("type=network") == ["network connect", "network disconnect"]
    attributes = past("event=die", template="{{json .Actor.Attributes}}")
    assert json.loads(attributes[0])["exitCode"] == "3"
    docker("volume", "create", "mine")
    docker("volume", "rm", "mine")
    assert past("type=volume", "volume=mine") == ["volume create", "volume destroy"]
    docker("tag", "busybox", "t:1")
    docker("rmi", "t:1")
    assert past("type=image") == ["image tag", "image untag"]


def test_volumes(docker: Docker):
    assert docker("volume", "create", "--label", "a=b", "data").word == "data"
    assert docker("volume", "create", "data").word == "data"
    anonymous = docker("volume", "create").word
    assert re.fullmatch("[0-9a-f]{64}", anonymous)
    assert set(docker("volume", "ls", "-q").lines) == {"data", anonymous}
    assert docker("volume", "ls", "-q", "--filter", "label=a=b").lines == ["data"]
    assert docker("volume", "ls", "-q", "--filter", "name=dat").lines == ["data"]
    assert "data" in docker("volume", "ls", "-q", "--filter", "dangling=true").lines
    mountpoint = docker("volume", "inspect", "--format", "{{.Mountpoint}}", "data").word
    docker("run", "--name", "web", "-v", "data:/x", "busybox", "sh", "-c", "echo hi > /x/hi")
    assert (Path(mountpoint) / "hi").read_text() == "hi\n"
    assert "volume is in use" in docker("volume", "rm", "data", code=1).err
    assert anonymous in docker("volume", "prune", "-f").out
    assert docker("volume", "ls", "-q").lines == ["data"]
    docker("rm", "web")
    docker("volume", "prune", "-f")
    assert docker("volume", "ls", "-q").lines == ["data"]
    assert "data" in docker("volume", "prune", "-a", "-f").out
    assert "no such volume" in docker("volume", "inspect", "data", code=1).err.lower()
    assert "no such volume" in docker("volume", "rm", "data", code=1).err.lower()
    docker("volume", "rm", "-f", "data")
    assert "includes invalid characters" in docker("volume", "create", "a/b", code=1).err
    assert "nosuchdriver" in docker("volume", "create", "-d", "nosuchdriver", "x", code=1).err


def test_system_df(docker: Docker):
    docker(
        "run", "-d", "--name", "web", "-v", "/data", "busybox", "sh", "-c", "echo 1>/f; sleep 60"
    )
    rows = {line.split("|")[0]: line for line in docker(
        "system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}"
    ).lines}  # fmt: skip
    assert rows["Images"].startswith("Images|1|1|")
    assert rows["Containers"].startswith("Containers|1|1|")
    assert rows["Local Volumes"].startswith("Local Volumes|1|1|")
    verbose = docker("system", "df", "-v").out
    assert "busybox" in verbose
    assert "web" in verbose


def test_system_prune(docker: Docker):
    docker("create", "busybox")
    # The build cache and networks are pending or empty; containers are pruned anyway.
    docker("container", "prune", "-f")
    assert docker("ps", "-aq").out == ""


def test_login_to_a_registry_that_is_not_there(docker: Docker):
    done = docker(
        "login", "-u", "me", "--password-stdin", "127.0.0.1:9", stdin="secret", code=1, timeout=20
    )
    assert "127.0.0.1:9" in done.err
    assert "secret" not in done.out + done.err


COMMANDS = {
    "swarm.init": "swarm init",
    "swarm.join": "swarm join 127.0.0.1:1 --token x",
    "plugins.privileges": "plugin install --grant-all-permissions 127.0.0.1:9/p",
    "build.prune": "builder prune -f",
}


@pytest.mark.parametrize("group", ["service", "node", "secret", "config"])
def test_operations_that_need_a_swarm_say_so(docker: Docker, group: str):
    assert "This node is not a swarm manager" in docker(group, "ls", code=1).err
    assert "This node is not part of a swarm" in docker("swarm", "leave", "--force", code=1).err


@pytest.mark.parametrize("operation", sorted(PENDING & COMMANDS.keys()))
def test_pending_operations_say_so(docker: Docker, operation: str):
    docker("run", "-d", "--name", "web", "busybox", "sleep", "60")
    done = docker(*COMMANDS[operation].split(), code=1, timeout=15)
    assert "is not implemented by this engine yet" in done.err
    assert docker.inspect("web", "{{.State.Running}}") == "true"
