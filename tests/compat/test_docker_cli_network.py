"""The docker CLI with networks: reachability of published ports, network modes, listings."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.crash import eventually
from tests.support.docker_cli import Docker


pytestmark = pytest.mark.root

HELLO = "while :; do echo hello from $HOSTNAME | nc -l -p 80 >/dev/null; done"


def ask(address: str, port: int, family: socket.AddressFamily = socket.AF_INET) -> str:
    """Return a TCP server's text; empty if the server can't be reached."""
    try:
        with socket.socket(family) as sock:
            sock.settimeout(2)
            sock.connect((address, port))
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(4096), b"")).decode()
    except OSError:
        return ""


def published(docker: Docker, name: str, port: str = "80") -> int:
    return int(docker("port", name, port).lines[0].rpartition(":")[2])


def serve(docker: Docker, name: str, *options: str) -> None:
    docker("run", "-d", "--name", name, "--hostname", name, *options, "busybox", "sh", "-c", HELLO)


def own_address() -> str:
    """Return an address of this machine that is not loopback, if it has one."""
    out = subprocess.run(
        ["ip", "-j", "-4", "addr"], check=True, capture_output=True, text=True
    ).stdout
    for link in json.loads(out):
        for entry in link["addr_info"]:
            if entry["scope"] == "global" and link.get("operstate") == "UP":
                return str(entry["local"])
    return ""


def test_a_port_on_loopback(docker: Docker):
    serve(docker, "web", "-p", "127.0.0.1:0:80")
    port = published(docker, "web")
    eventually(lambda: ask("127.0.0.1", port) == "hello from web\n")
    docker("restart", "-t", "0", "web")
    port = published(docker, "web")
    eventually(lambda: ask("127.0.0.1", port) == "hello from web\n")
    docker("stop", "-t", "0", "web")
    assert ask("127.0.0.1", port) == ""


def test_a_port_on_all_addresses(docker: Docker):
    serve(docker, "web", "-p", "80")
    lines = docker("port", "web").lines
    assert any(line.startswith("80/tcp -> 0.0.0.0:") for line in lines)
    port = published(docker, "web")
    eventually(lambda: ask("127.0.0.1", port) == "hello from web\n")
    eventually(lambda: ask("localhost", port) == "hello from web\n")
    gateway = docker.inspect("web", "{{.NetworkSettings.Gateway}}") or docker.inspect(
        "web", "{{.NetworkSettings.Networks.bridge.Gateway}}"
    )
    eventually(lambda: ask(gateway, port) == "hello from web\n")
    if own := own_address():
        eventually(lambda: ask(own, port) == "hello from web\n")
    if any("[::]" in line for line in lines):
        six = int(next(line for line in lines if "[::]" in line).rpartition(":")[2])
        eventually(lambda: ask("::1", six, socket.AF_INET6) == "hello from web\n")


def test_containers_reach_published_ports_and_each_other(docker: Docker):
    serve(docker, "web", "-p", "80")
    port = published(docker, "web")
    network = "{{.NetworkSettings.Networks.bridge.%s}}"
    gateway = docker.inspect("web", network % "Gateway")
    address = docker.inspect("web", network % "IPAddress")
    eventually(lambda: ask("127.0.0.1", port) == "hello from web\n")
    for target, number in ((gateway, port), (address, 80)):
        script = f"nc -w 3 {target} {number} < /dev/null"
        assert docker("run", "--rm", "busybox", "sh", "-c", script).out == "hello from web\n"
        # A container reaches itself the same way (hairpin).
        out = docker("exec", "web", "sh", "-c", script).out
        assert out == "hello from web\n", target


def test_publish_all_and_ranges(docker: Docker):
    serve(docker, "web", "-P", "--expose", "80", "--expose", "81/udp")
    assert {line.split()[0] for line in docker("port", "web").lines} == {"80/tcp", "81/udp"}
    eventually(lambda: ask("127.0.0.1", published(docker, "web")) == "hello from web\n")
    serve(docker, "more", "-p", "127.0.0.1:39100-39102:80-82", "-p", "127.0.0.1:39110-39120:90")
    lines = docker("port", "more").lines
    assert [line for line in lines if line[:2] == "81"] == ["81/tcp -> 127.0.0.1:39101"]
    assert [line for line in lines if line[:2] == "90"] == ["90/tcp -> 127.0.0.1:39110"]
    serve(docker, "third", "-p", "127.0.0.1:39110-39120:90")
    assert docker("port", "third").lines == ["90/tcp -> 127.0.0.1:39111"]


def test_a_port_that_is_taken(docker: Docker):
    serve(docker, "web", "-p", "127.0.0.1:39130:80")
    err = docker("run", "--rm", "-p", "127.0.0.1:39130:80", "busybox", "true", code=125).err
    assert "port is already allocated" in err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 39131))
        taken.listen()
        err = docker("run", "--rm", "-p", "127.0.0.1:39131:80", "busybox", "true", code=125).err
        assert "address already in use" in err or "failed to bind" in err
    eventually(lambda: docker("ps", "-aq").lines == docker("ps", "-q").lines)


def test_udp(docker: Docker):
    # No busybox applet answers datagrams, so the test does, in the container's namespace.
    docker("run", "-d", "--name", "echo", "-p", "127.0.0.1:0:53/udp", "busybox", "sleep", "60")
    port = published(docker, "echo", "53/udp")
    namespace = f"/proc/{docker.inspect('echo', '{{.State.Pid}}')}/ns/net"
    script = (
        "import socket\n"
        "s = socket.socket(type=socket.SOCK_DGRAM)\n"
        "s.bind(('', 53))\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    data, sender = s.recvfrom(2000)\n"
        "    s.sendto(data[::-1], sender)\n"
    )
    with subprocess.Popen(
        ["nsenter", f"--net={namespace}", sys.executable, "-c", script], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            for data in (b"ping", b"x" * 1400 + b"y"):
                sock.sendto(data, ("127.0.0.1", port))
                assert sock.recvfrom(2000) == (data[::-1], ("127.0.0.1", port))
        server.kill()


def test_network_modes(docker: Docker):
    out = docker("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net").out
    assert out.split() == ["lo"]
    host = str(Path("/proc/self/ns/net").readlink())
    command = ["busybox", "readlink", "/proc/self/ns/net"]
    assert docker("run", "--rm", "--network", "host", *command).word == host
    serve(docker, "web")
    first = docker("exec", "web", *command[1:]).word
    assert first != host
    other = docker("run", "--rm", "--network", "container:web", *command).word
    assert other == first
    script = "nc -w 3 127.0.0.1 80 < /dev/null"
    out = docker("run", "--rm", "--net", "container:web", "busybox", "sh", "-c", script).out
    assert out == "hello from web\n"
    for file in ("resolv.conf", "hosts", "hostname"):
        command = ["cat", f"/etc/{file}"]
        out = docker("run", "--rm", "--net", "container:web", "busybox", *command).out
        assert out == docker("exec", "web", *command).out
    out = docker("run", "--rm", "--net", "container:web", "busybox", "hostname").out
    assert out == "web\n"
    err = docker("run", "--rm", "--net", "container:web", "-p", "80", "busybox", code=125).err
    assert "conflicting options" in err
    err = docker("run", "--rm", "--network", "nosuch", "busybox", code=125).err
    assert "network nosuch not found" in err


def test_addresses_and_names(docker: Docker):
    docker(
        "run", "-d", "--name", "web", "--mac-address", "02:42:ac:11:00:99", "busybox",
        "sleep", "60",
    )  # fmt: skip
    assert "02:42:ac:11:00:99" in docker("exec", "web", "cat", "/sys/class/net/eth0/address").out
    address = docker.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    assert f"inet {address}/" in docker("exec", "web", "ip", "addr").out
    gateway = docker.inspect("web", "{{.NetworkSettings.Networks.bridge.Gateway}}")
    assert f"default via {gateway}" in docker("exec", "web", "ip", "route").out
    assert address in docker("exec", "web", "cat", "/etc/hosts").out
    docker("exec", "web", "ping", "-c", "1", "-W", "2", gateway)


def test_network_listings(docker: Docker):
    assert docker("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").lines == [
        "bridge bridge local",
        "host host local",
        "none null local",
    ]
    assert docker("network", "ls", "-q", "--filter", "driver=host").word
    assert docker("network", "ls", "-q", "--no-trunc", "--filter", "name=zzz").out == ""
    docker("run", "-d", "--name", "web", "busybox", "sleep", "60")
    document = json.loads(docker("network", "inspect", "bridge").out)[0]
    assert [entry["Name"] for entry in document["Containers"].values()] == ["web"]
    assert re.match(r"\d+\.\d+\.\d+\.\d+/\d+", document["IPAM"]["Config"][0]["Subnet"])
    err = docker("network", "inspect", "nosuch", code=1).err
    assert "network nosuch not found" in err
    assert "pre-defined" in docker("network", "rm", "bridge", code=1).err
    assert "network nosuch not found" in docker("network", "rm", "nosuch", code=1).err
    docker("network", "prune", "-f")
