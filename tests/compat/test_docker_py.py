"""docker-py, unmodified: the high-level client and the low-level one."""

import gc
import io
import socket
import struct
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import LogConfig, Mount, Ulimit
from tests.support.crash import eventually
from tests.support.engine import TestEngine
from tests.support.tar import entry, tarball

from palan.api.version import MAX_VERSION


pytestmark = [
    pytest.mark.root,
    # docker-py leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(params=["1.24", "1.41", "auto"])
def any_client(engine: TestEngine, request: pytest.FixtureRequest) -> Iterator[Any]:
    client = docker.DockerClient(base_url=engine.url, version=request.param, timeout=30)
    yield client
    client.close()


@pytest.fixture
def client(engine: TestEngine) -> Iterator[Any]:
    client = docker.DockerClient(base_url=engine.url, timeout=30)
    yield client
    client.close()


def test_ping_version_and_info(any_client: Any):
    assert any_client.ping()
    assert any_client.version()["ApiVersion"] == str(MAX_VERSION)
    assert any_client.info()["Images"] == 1
    if any_client.api._version != "1.24":  # docker-py itself has fewer fields at that version
        assert any_client.df()["Images"]


def test_run_and_its_outputs(any_client: Any):
    containers = any_client.containers
    assert containers.run("busybox", "echo hello", remove=True) == b"hello\n"
    script = ["sh", "-c", "echo out; echo err >&2"]
    assert containers.run("busybox", script, stdout=True, stderr=True, remove=True) in (
        b"out\nerr\n",
        b"err\nout\n",
    )
    assert containers.run("busybox", script, stdout=False, stderr=True, remove=True) == b"err\n"
    lines = containers.run("busybox", ["sh", "-c", "echo 1; echo 2"], stream=True, remove=True)
    assert b"".join(lines) == b"1\n2\n"
    with pytest.raises(ContainerError) as caught:
        containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    assert caught.value.exit_status == 3
    assert caught.value.stderr == b"bad\n"


def test_life_of_a_container(any_client: Any):
    container = any_client.containers.run("busybox", "sleep 60", detach=True, name="web")
    assert container.status in ("created", "running")
    container.reload()
    assert container.status == "running"
    assert [c.name for c in any_client.containers.list()] == ["web"]
    assert any_client.containers.get("web").id == container.id
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.rename("new")
    container.restart(timeout=0)
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    container.start()
    container.kill("SIGKILL")
    assert container.wait()["StatusCode"] == 137
    assert any_client.containers.list() == []
    assert len(any_client.containers.list(all=True, filters={"status": "exited"})) == 1
    container.remove(v=True)
    with pytest.raises(NotFound):
        any_client.containers.get("new")


def test_exec(any_client: Any):
    container = any_client.containers.run("busybox", "sleep 60", detach=True)
    script = ["sh", "-c", "echo out; echo err >&2; exit 4"]
    code, output = container.exec_run(script)
    assert code == 4
    assert sorted(output.split()) == [b"err", b"out"]
    code, output = container.exec_run(script, demux=True)
    assert (code, output) == (4, (b"out\n", b"err\n"))
    code, stream = container.exec_run(script, stream=True, demux=True)
    assert code is None
    pieces = list(stream)
    assert b"".join(out for out, _ in pieces if out) == b"out\n"
    assert b"".join(err for _, err in pieces if err) == b"err\n"
    assert container.exec_run("id -un", user="app").output == b"app\n"
    assert container.exec_run(["sh", "-c", "tty"], tty=True).output == b"/dev/pts/0\r\n"
    if any_client.api._version != "1.24":
        assert container.exec_run("env", environment={"A": "b"}).output.count(b"A=b\n") == 1
    assert not container.exec_run("sleep 1", detach=True).output


def test_exec_over_a_socket(client: Any):
    container = client.containers.run("busybox", "sleep 60", detach=True)
    _, sock = container.exec_run("cat", stdin=True, socket=True)
    raw = sock._sock
    raw.sendall(b"hello")
    raw.shutdown(socket.SHUT_WR)
    data = b"".join(iter(lambda: raw.recv(4096), b""))
    assert data == struct.pack(">BxxxL", 1, 5) + b"hello"
    raw.close()
    sock.close()


def test_attach(any_client: Any):
    container = any_client.containers.create("busybox", "cat", stdin_open=True)
    sock = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    raw = sock._sock
    raw.sendall(b"hello\n")
    raw.shutdown(socket.SHUT_WR)
    data = b"".join(iter(lambda: raw.recv(4096), b""))
    assert data == struct.pack(">BxxxL", 1, 6) + b"hello\n"
    raw.close()
    sock.close()
    for _ in range(10):
        assert container.attach(logs=True) == b"hello\n"
    container.remove(force=True)


def test_attach_stream(client: Any):
    container = client.containers.create("busybox", ["sh", "-c", "echo a; sleep 0.2; echo b"])
    stream = container.attach(stream=True)
    container.start()
    assert b"".join(stream) == b"a\nb\n"


def test_attach_over_a_websocket_is_not_broken_by_the_client(client: Any):
    pytest.importorskip("websocket")
    container = client.containers.run("busybox", "cat", stdin_open=True, tty=True, detach=True)
    with pytest.raises((APIError, OSError, NotImplementedError)):
        # docker-py can't do this over a unix socket; the engine answers with an error.
        container.attach_socket(params={"stdin": 1, "stream": 1}, ws=True)
    container.remove(force=True)


def test_logs(any_client: Any):
    script = "for i in 1 2 3; do echo line $i; sleep 0.05; done; echo err >&2"
    container = any_client.containers.run("busybox", ["sh", "-c", script], detach=True)
    followed = b"".join(container.logs(stream=True, follow=True))
    assert followed == b"line 1\nline 2\nline 3\nerr\n"
    assert container.logs(stderr=False) == b"line 1\nline 2\nline 3\n"
    assert container.logs(tail=1) == b"err\n"
    assert container.logs(timestamps=True, stderr=False).startswith(b"20")
    assert container.logs(since=int(time.time()) + 60) == b""
    assert b"".join(container.logs(stream=True, follow=False)) == followed


def test_logs_stream_can_be_given_up(client: Any):
    container = client.containers.run("busybox", ["sh", "-c", "echo a; sleep 60"], detach=True)
    stream = container.logs(stream=True, follow=True)
    assert next(stream) == b"a\n"
    stream.close()
    container.remove(force=True)


def test_wait_with_a_condition(client: Any):
    container = client.containers.run("busybox", "sleep 0.3", detach=True, auto_remove=True)
    assert container.wait(condition="removed")["StatusCode"] == 0
    with pytest.raises(NotFound):
        container.reload()


def test_events(any_client: Any):
    events = any_client.events(decode=True, filters={"type": "container"})
    seen: list[str] = []
    done = threading.Event()

    def read() -> None:
        for event in events:
            seen.append(event["Action"])
            assert event["Actor"]["Attributes"]["image"] == "busybox"
            assert event["timeNano"] // 10**9 == event["time"]
            if event["Action"] == "destroy":
                break
        done.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    time.sleep(0.2)
    any_client.containers.run("busybox", "true", remove=True)
    assert done.wait(15)
    events.close()
    assert seen[:2] == ["create", "start"] or seen[:3] == ["create", "attach", "start"]
    assert seen[-2:] == ["die", "destroy"]
    past = list(any_client.events(since=int(time.time()) - 60, until=time.time(), decode=True))
    assert {"create", "start", "die", "destroy"} <= {event["Action"] for event in past}


def test_images(any_client: Any):
    images = any_client.images
    image = images.get("busybox")
    assert image.tags == ["busybox:latest"]
    assert images.list()[0].id == image.id
    assert image.history()
    assert image.tag("example.org/box", "v1")
    image.reload()
    assert "example.org/box:v1" in image.tags
    data = b"".join(image.save(named="example.org/box:v1"))
    images.remove("example.org/box:v1")
    with pytest.raises(ImageNotFound):
        images.get("example.org/box:v1")
    loaded = images.load(data)
    assert loaded[0].id == image.id
    images.remove("example.org/box:v1")
    if any_client.api._version != "1.24":
        assert images.prune()["SpaceReclaimed"] == 0
    with pytest.raises(ImageNotFound):
        any_client.api.create_container("nosuch-image:v1", "true")


def test_import(client: Any):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    client.api.import_image_from_data(buffer.getvalue(), repository="made", tag="v1")
    assert client.images.get("made:v1").attrs["Size"] >= 0
    client.images.remove("made:v1")


def test_volumes_and_networks(any_client: Any):
    volume = any_client.volumes.create("data", labels={"a": "b"})
    assert volume.attrs["Labels"] == {"a": "b"}
    options = {"data": {"bind": "/data", "mode": "rw"}}
    run = any_client.containers.run
    run("busybox", ["sh", "-c", "echo x > /data/x"], volumes=options, remove=True)
    mounts = [Mount("/data", "data", read_only=True)]
    if any_client.api._version != "1.24":
        assert run("busybox", "cat /data/x", mounts=mounts, remove=True) == b"x\n"
    assert [v.name for v in any_client.volumes.list(filters={"label": "a=b"})] == ["data"]
    volume.remove()
    with pytest.raises(NotFound):
        any_client.volumes.get("data")
    assert {n.name for n in any_client.networks.list()} == {"bridge", "host", "none"}
    assert any_client.networks.get("bridge").attrs["Driver"] == "bridge"


def test_host_config_of_the_low_level_client(client: Any, tmp_path: Path):
    (tmp_path / "file").write_text("of the host\n")
    api = client.api
    host = api.create_host_config(
        binds=[f"{tmp_path}/file:/mnt/file:ro"],
        port_bindings={80: ("127.0.0.1", None), "53/udp": None},
        mem_limit="64m",
        memswap_limit="128m",
        cpu_shares=512,
        cpu_period=100_000,
        cpu_quota=50_000,
        pids_limit=100,
        cap_add=["NET_ADMIN"],
        cap_drop=["MKNOD"],
        dns=["192.0.2.1"],
        dns_search=["example.org"],
        extra_hosts={"db": "192.0.2.2"},
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 1},
        tmpfs={"/scratch": "size=1m"},
        ulimits=[Ulimit(name="nofile", soft=256, hard=512)],
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        log_config=LogConfig(type=LogConfig.types.JSON, config={"max-size": "1m"}),
        shm_size="4m",
        oom_score_adj=100,
        group_add=["extra"],
        read_only=True,
        init=True,
        security_opt=["no-new-privileges"],
    )
    made = api.create_container(
        "busybox", ["sh", "-c", "ulimit -n; cat /mnt/file; id -G; echo $A"],
        environment={"A": "b"}, labels=["x"], ports=[80, (53, "udp")], hostname="box",
        host_config=host, stop_signal="SIGINT",
    )  # fmt: skip
    api.start(made["Id"])
    assert api.wait(made["Id"])["StatusCode"] == 0
    lines = api.logs(made["Id"]).decode().splitlines()
    assert lines[:2] == ["256", "of the host"]
    assert "2000" in lines[2].split()
    assert lines[3] == "b"
    shown = api.inspect_container(made["Id"])
    assert shown["HostConfig"]["Memory"] == 64 * 2**20
    assert shown["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 1}
    assert shown["HostConfig"]["Ulimits"] == [{"Name": "nofile", "Soft": 256, "Hard": 512}]
    assert shown["Config"]["StopSignal"] == "SIGINT"
    assert shown["Config"]["Hostname"] == "box"


KEYS = {
    "AppArmorProfile", "Args", "Config", "Created", "Driver", "ExecIDs", "HostConfig",
    "HostnamePath", "HostsPath", "Id", "Image", "LogPath", "MountLabel", "Mounts", "Name",
    "NetworkSettings", "Path", "Platform", "ProcessLabel", "ResolvConfPath", "RestartCount",
    "State",
}  # fmt: skip


def test_attrs_have_what_tools_read(any_client: Any):
    container = any_client.containers.run("busybox", "sleep 60", detach=True, ports={"80": None})
    container.reload()
    attrs = container.attrs
    assert attrs.keys() >= KEYS
    assert attrs["State"]["Running"] is True
    assert attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    if any_client.api._version in ("1.24", "1.41"):
        assert attrs["NetworkSettings"]["IPAddress"]
    assert container.ports["80/tcp"][0]["HostPort"].isdigit()
    assert container.image.tags == ["busybox:latest"]
    assert container.labels == {}


def test_errors_are_typed(any_client: Any):
    with pytest.raises(NotFound) as caught:
        any_client.containers.get("nobody")
    assert caught.value.explanation == "No such container: nobody"
    container = any_client.containers.create("busybox", "true", name="web")
    with pytest.raises(APIError) as refused:
        any_client.containers.create("busybox", "true", name="web")
    assert refused.value.status_code == 409
    with pytest.raises(APIError) as refused:
        container.kill()
    assert refused.value.status_code == 409
    with pytest.raises(APIError) as refused:
        any_client.containers.create("busybox", "true", name="bad name")
    assert refused.value.status_code == 400


def test_files_go_in_and_come_out(client: Any):
    container = client.containers.create("busybox", "true")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("note")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    assert container.put_archive("/tmp", packed.getvalue())
    chunks, stat = container.get_archive("/tmp/note")
    assert (stat["name"], stat["size"]) == ("note", 5)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        assert archive.extractfile("note").read() == b"hello"  # type: ignore[union-attr]
    with pytest.raises(NotFound):
        container.get_archive("/absent")


def test_many_calls_leave_no_connection_behind(client: Any, engine: TestEngine):
    assert engine.process is not None

    def connections() -> int:
        return int(engine.api.get("/info").json["NFd"])

    client.containers.run("busybox", "true", remove=True)  # opens the descriptors that it keeps
    before = connections()
    container = client.containers.run("busybox", "sleep 60", detach=True)
    for _ in range(20):
        container.exec_run("true")
        container.reload()
        container.logs()
    container.remove(force=True)
    client.close()  # only then are all its connections closed
    gc.collect()
    eventually(lambda: connections() <= before)


def test_files_in_and_out(any_client: Any):
    container = any_client.containers.create("busybox", "true")
    assert container.put_archive("/tmp", tarball(entry("file", b"x" * 5000)))
    for encode in (False, True):
        pieces, stat = container.get_archive("/tmp/file", encode_stream=encode)
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            found = tar.extractfile("file")
            assert found is not None
            assert found.read() == b"x" * 5000
        assert (stat["name"], stat["size"], stat["linkTarget"]) == ("file", 5000, "")
    with pytest.raises(NotFound):
        container.get_archive("/nowhere")
    with pytest.raises(NotFound):
        container.put_archive("/nowhere", b"")


def test_volumes_of_every_kind(any_client: Any):
    volumes = any_client.volumes
    made = volumes.create("py-vol", driver="local", labels={"a": "b"})
    assert volumes.get("py-vol").attrs["Labels"] == {"a": "b"}
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    memory = volumes.create("py-mem", driver_opts=options)
    assert memory.attrs["Options"] == options
    assert {v.name for v in volumes.list(filters={"name": "py-"})} == {"py-vol", "py-mem"}
    assert [v.name for v in volumes.list(filters={"label": "a=b"})] == ["py-vol"]
    run = any_client.containers.run
    run("busybox", "touch /v/x", remove=True, volumes={"py-vol": {"bind": "/v", "mode": "rw"}})
    assert run("busybox", "ls /v", remove=True, volumes=["py-vol:/v:ro"]) == b"x\n"
    out = run("busybox", "grep ' /m ' /proc/mounts", remove=True, volumes=["py-mem:/m"])
    assert b"size=1024k" in out
    with pytest.raises(APIError, match="plugin"):
        volumes.create("py-none", driver="no-such-driver")
    memory.remove()
    made.remove()
    with pytest.raises(NotFound):
        volumes.get("py-vol")
