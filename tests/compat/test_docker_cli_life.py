"""The docker CLI with containers: create, start, stop, kill, pause, wait, ps, inspect, rm."""

import json
import re
import time

import pytest
from tests.support.crash import eventually
from tests.support.docker_cli import Docker


pytestmark = pytest.mark.root


def test_create_then_start_attached(docker: Docker):
    docker("create", "-i", "--name", "job", "busybox", "sh", "-c", "cat; echo err >&2; exit 5")
    assert docker.inspect("job", "{{.State.Status}}") == "created"
    done = docker("start", "-a", "-i", "job", stdin="typed\n", code=5)
    assert (done.out, done.err) == ("typed\n", "err\n")
    # Once more: a container may be started again.
    assert docker("start", "-ai", "job", stdin="again\n", code=5).out == "again\n"


def test_start_several(docker: Docker):
    for name in ("one", "two"):
        docker("create", "--name", name, "busybox", "sleep", "60")
    assert docker("start", "one", "two").lines == ["one", "two"]
    assert docker("start", "one").word == "one"  # running already: nothing to do
    err = docker("start", "one", "nobody", code=1).err
    assert "No such container: nobody" in err


def test_stop_kill_and_restart(docker: Docker):
    docker("run", "-d", "--name", "web", "--stop-signal", "USR1", "busybox", "sleep", "60")
    began = time.monotonic()
    assert docker("stop", "-t", "0", "web").word == "web"
    assert time.monotonic() - began < 5
    assert docker.inspect("web", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    docker("start", "web")
    docker("restart", "-t", "0", "web")
    assert docker.inspect("web", "{{.State.Running}}") == "true"
    assert docker("kill", "web").word == "web"
    eventually(lambda: docker.inspect("web", "{{.State.ExitCode}}") == "137")
    assert "is not running" in docker("kill", "web", code=1).err
    docker("stop", "web")  # stopped already: nothing to do


def test_kill_sends_what_is_asked_for(docker: Docker):
    script = "trap 'echo one' USR1; trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    docker("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    eventually(lambda: docker("logs", "web").out == "ready\n")
    docker("kill", "-s", "SIGUSR1", "web")
    eventually(lambda: docker("logs", "web").out == "ready\none\n")
    docker("kill", "--signal", "10", "web")
    eventually(lambda: docker("logs", "web").out == "ready\none\none\n")
    assert "invalid signal: NONSENSE" in docker("kill", "-s", "NONSENSE", "web", code=1).err
    docker("stop", "web")
    assert docker.inspect("web", "{{.State.ExitCode}}") == "9"


def test_pause_and_unpause(docker: Docker):
    docker("run", "-d", "--name", "web", "busybox", "sleep", "60")
    docker("pause", "web")
    assert "(Paused)" in docker("ps").out
    assert docker.inspect("web", "{{.State.Paused}} {{.State.Status}}") == "true paused"
    assert "is already paused" in docker("pause", "web", code=1).err
    assert "is paused" in docker("exec", "web", "true", code=1).err
    docker("unpause", "web")
    assert "is not paused" in docker("unpause", "web", code=1).err
    docker("pause", "web")
    docker("rm", "-f", "web")


def test_rename(docker: Docker):
    docker("create", "--name", "old", "busybox")
    docker("create", "--name", "other", "busybox")
    docker("rename", "old", "new")
    assert docker.inspect("new", "{{.Name}}") == "/new"
    assert "No such container: old" in docker("rename", "old", "x", code=1).err
    assert "already in use" in docker("rename", "new", "other", code=1).err
    docker("rename", "new", "new-", code=0)
    assert "Invalid container name" in docker("rename", "new-", "a b", code=1).err


def test_wait_prints_exit_codes(docker: Docker):
    docker("run", "-d", "--name", "one", "busybox", "sh", "-c", "sleep 0.3; exit 3")
    docker("run", "-d", "--name", "two", "busybox", "true")
    assert docker("wait", "one", "two").lines == ["3", "0"]
    assert "No such container" in docker("wait", "nobody", code=1).err


@pytest.fixture
def some(docker: Docker) -> Docker:
    """Return the docker CLI with three containers in three states."""
    docker("create", "--name", "made", "-l", "tier=db", "busybox", "true")
    docker("run", "-d", "--name", "ended", "-l", "tier=web", "busybox", "sh", "-c", "exit 3")
    docker("wait", "ended")
    docker(
        "run", "-d", "--name", "runs", "-l", "tier=web", "-l", "x", "-v", "vol:/data",
        "-p", "127.0.0.1::80", "--expose", "90", "busybox", "sleep", "60",
    )  # fmt: skip
    return docker


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["status=running"], ["runs"]),
        (["status=exited"], ["ended"]),
        (["status=created", "status=exited"], ["ended", "made"]),
        (["exited=3"], ["ended"]),
        (["exited=0"], []),
        (["name=run"], ["runs"]),
        (["name=^/?made$"], ["made"]),
        (["label=tier=web"], ["runs", "ended"]),
        (["label=tier"], ["runs", "ended", "made"]),
        (["label=tier=web", "label=x"], ["runs"]),
        (["before=runs"], ["ended", "made"]),
        (["since=made"], ["runs", "ended"]),
        (["ancestor=busybox"], ["runs", "ended", "made"]),
        (["ancestor=busybox:latest", "status=running"], ["runs"]),
        (["volume=vol"], ["runs"]),
        (["volume=/data"], ["runs"]),
        (["network=bridge"], ["runs", "ended", "made"]),
        (["network=host"], []),
        (["publish=80"], []),  # that is its private port
        (["publish=81/tcp"], []),
        (["expose=90"], ["runs"]),
        (["health=none"], ["runs", "ended", "made"]),
        (["is-task=false"], ["runs", "ended", "made"]),
        (["id=zzzz"], []),
    ],
)
def test_ps_filters(some: Docker, filters: list[str], names: list[str]):
    flags = [word for text in filters for word in ("--filter", text)]
    assert some("ps", "-a", "--format", "{{.Names}}", *flags).lines == names


def test_ps_filters_by_published_port(some: Docker):
    port = some("port", "runs", "80").word.rpartition(":")[2]
    for text in (f"publish={port}", f"publish={int(port) - 1}-{port}/tcp"):
        assert some("ps", "--format", "{{.Names}}", "--filter", text).lines == ["runs"]
    assert some("ps", "-q", "--filter", f"publish={port}/udp").lines == []


def test_ps_filters_by_id_and_refuses_nonsense(some: Docker):
    identity = some("ps", "-q", "-n", "1").word
    assert some("ps", "-q", "--filter", f"id={identity}").word == identity
    assert "invalid filter" in some("ps", "--filter", "nonsense=1", code=1).err
    assert some("ps", "--filter", "status=nonsense", code=1).err
    assert "No such container" in some("ps", "--filter", "before=nobody", code=1).err
    assert some("ps", "--filter", "exited=three", code=1).err


def test_ps_selections(some: Docker):
    names = "{{.Names}}"
    assert some("ps", "--format", names).lines == ["runs"]
    assert some("ps", "-n", "2", "--format", names).lines == ["runs", "ended"]
    assert some("ps", "-l", "--format", names).lines == ["runs"]
    assert len(some("ps", "-aq").lines) == 3


def test_ps_columns(some: Docker):
    assert re.fullmatch(
        r"\d+B \(virtual [\d.]+MB\)", some("ps", "-s", "--format", "{{.Size}}").word
    )
    template = (
        "{{.Image}}|{{.Command}}|{{.Status}}|{{.Labels}}|{{.Mounts}}|{{.Networks}}|{{.State}}"
    )
    image, command, status, labels, mounts, networks, state = some(
        "ps", "--format", template
    ).word.split("|")
    assert (image, command, state) == ("busybox", '"sleep 60"', "running")
    assert re.match("Up (Less than a second|[0-9]+ seconds?|About a minute)", status)
    assert set(labels.split(",")) == {"tier=web", "x="}
    assert (mounts, networks) == ("vol", "bridge")
    ports = some("ps", "--format", "{{.Ports}}").word
    assert re.fullmatch(r"90/tcp, 127\.0\.0\.1:\d+->80/tcp", ports)
    assert some("ps", "--format", '{{.Label "tier"}}').word == "web"
    line = json.loads(some("ps", "--format", "json").word)
    assert line["Names"] == "runs"
    assert "Exited (3)" in some("ps", "-a").out
    assert "Created" in some("ps", "-a").out
    assert some("ps", "--no-trunc", "--format", "{{.ID}}").word == some.inspect("runs", "{{.Id}}")


def test_inspect(some: Docker):
    assert some.inspect("runs", "{{.Config.Cmd}} {{.Path}} {{.Args}}") == "[sleep 60] sleep [60]"
    assert some.inspect("runs", "{{range .Mounts}}{{.Name}} {{.Destination}}{{end}}") == "vol /data"
    assert some.inspect("runs", '{{index .Config.Labels "tier"}}') == "web"
    document = json.loads(some("inspect", "runs", "made").out)
    assert [entry["Name"] for entry in document] == ["/runs", "/made"]
    assert int(some("inspect", "-s", "--format", "{{.SizeRootFs}}", "runs").word) > 0
    assert some("container", "inspect", "--format", "{{.State.ExitCode}}", "ended").word == "3"
    done = some("inspect", "runs", "nobody", code=1)
    assert "no such object: nobody" in done.err.lower()
    assert json.loads(done.out)[0]["Name"] == "/runs"
    # A prefix of the id suffices.
    identity = some.inspect("runs", "{{.Id}}")
    assert some.inspect(identity[:8], "{{.Name}}") == "/runs"


def test_port(some: Docker):
    assert re.fullmatch(r"80/tcp -> 127\.0\.0\.1:\d+", some("port", "runs").word)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", some("port", "runs", "80").word)
    assert "no public port" in some("port", "runs", "81", code=1).err.lower()


def test_rm(some: Docker):
    err = some("rm", "runs", code=1).err
    assert "cannot remove container" in err
    assert "container is running: stop the container before removing or force remove" in err
    assert some("rm", "made", "ended").lines == ["made", "ended"]
    some("rm", "-f", "-v", "runs")
    assert some("ps", "-aq").out == ""
    assert some("volume", "ls", "-q").lines == ["vol"]  # named, so -v leaves it
    some("volume", "rm", "vol")
    assert "No such container" in some("rm", "runs", code=1).err
    assert "No such container" in some("rm", "-f", "runs").err  # a message, but no failure


def test_container_prune(some: Docker):
    out = some("container", "prune", "-f", "--filter", "label=tier=db").out
    assert "Total reclaimed space" in out
    assert some("ps", "-a", "--format", "{{.Names}}").lines == ["runs", "ended"]
    some("container", "prune", "-f", "--filter", "until=1h")
    assert some("ps", "-a", "--format", "{{.Names}}").lines == ["runs", "ended"]
    ended = some.inspect("ended", "{{.Id}}")
    assert ended in some("container", "prune", "-f").out
    assert some("ps", "-a", "--format", "{{.Names}}").lines == ["runs"]
    assert some("container", "prune", "-f").out == "Total reclaimed space: 0B\n"


def test_auto_remove_with_detach(docker: Docker):
    before = docker("volume", "ls", "-q").out
    docker("run", "-d", "--rm", "--name", "brief", "-v", "/anonymous", "busybox", "true")
    eventually(lambda: docker("ps", "-aq").out == "")
    eventually(lambda: docker("volume", "ls", "-q").out == before)
