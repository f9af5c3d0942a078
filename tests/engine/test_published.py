"""Published ports: many of them, of all kinds, and through changes and restarts."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.support.crash import (
    assert_same_footprint,
    eventually,
    killed,
    settled_footprint,
)
from tests.support.engine import TestEngine
from tests.support.network import (
    connect,
    free_port,
    listen,
    neighbour,
    netns_of,
    talk,
    talk_udp,
)


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")
DATAGRAM = socket.SOCK_DGRAM


@pytest.fixture(scope="module")
def next_door():
    with neighbour() as machine:
        yield machine


@pytest.fixture(scope="module")
def unwalled():
    """Yield an engine without any firewall."""
    engine = TestEngine("--iptables=false", "--ip6tables=false")
    engine.start()
    engine.load_image()
    yield engine
    engine.close()


def publish(*ports, inner=80, protocol="tcp"):
    return {
        "PortBindings": {
            f"{inner}/{protocol}": [{"HostIp": ip, "HostPort": str(port)} for ip, port in ports]
        }
    }


def bindings(engine, container, key="80/tcp"):
    return engine.inspect(container)["NetworkSettings"]["Ports"][key]


def elements(engine):
    """Return the number of elements of the maps of ports."""
    found = 0
    for version in (4, 6):
        shown = subprocess.run(
            ["nft", "-j", "list", "map", "inet", engine.config.table_name, f"ports{version}"],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        (table,) = [x["map"] for x in json.loads(shown)["nftables"] if "map" in x]
        found += len(table.get("elem", ()))
    return found


def chains(engine):
    """Return the rules without the elements of maps."""
    shown = subprocess.run(
        ["nft", "-j", "list", "table", "inet", engine.config.table_name],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    return [x for x in json.loads(shown)["nftables"] if "rule" in x or "chain" in x]


def test_udp_over_ipv6_to_a_container_without_it(engine):
    port = free_port(DATAGRAM)
    container = engine.run(*SLEEP, host=publish(("", port), protocol="udp"))
    assert [b["HostIp"] for b in bindings(engine, container, "80/udp")] == ["0.0.0.0", "::"]
    with listen(netns_of(engine, container), 80, kind=DATAGRAM) as server:
        for _ in range(2):
            assert talk_udp(server, connect(None, "::1", port, kind=DATAGRAM))
        assert talk_udp(server, connect(None, "127.0.0.1", port, kind=DATAGRAM))


def test_a_client_of_udp_that_is_early_is_answered_later(engine):
    """Without a server in the container, the proxy's socket to the container gets an error."""
    port = free_port(DATAGRAM)
    container = engine.run(*SLEEP, host=publish(("", port), protocol="udp"))
    with connect(None, "::1", port, kind=DATAGRAM, timeout=0.2) as client:
        for _ in range(3):
            client.send(b"early")
            with pytest.raises(TimeoutError):
                client.recv(10)
        with listen(netns_of(engine, container), 80, kind=DATAGRAM) as server:
            client.settimeout(5)
            client.send(b"ping")
            while (found := server.recvfrom(10))[0] != b"ping":
                pass
            server.sendto(b"pong", found[1])
            assert client.recv(10) == b"pong"


def test_both_protocols_at_one_port(engine):
    port = free_port()
    host = {"PortBindings": {f"53/{p}": [{"HostPort": str(port)}] for p in ("tcp", "udp")}}
    container = engine.run(*SLEEP, host=host)
    netns = netns_of(engine, container)
    with listen(netns, 53) as stream, listen(netns, 53, kind=DATAGRAM) as datagram:
        assert talk(stream, connect(None, "127.0.0.1", port))
        assert talk_udp(datagram, connect(None, "127.0.0.1", port, kind=DATAGRAM))


def test_of_a_range_the_first_that_is_free(engine):
    first = free_port()
    with listen(None, first):
        container = engine.run(*SLEEP, host=publish(("", f"{first}-{first + 5}")))
        port = int(bindings(engine, container)[0]["HostPort"])
        assert first < port <= first + 5


def test_sctp_where_the_kernel_has_it(engine):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
    except OSError:
        container = engine.create(*SLEEP, host=publish(("", 9899), protocol="sctp"))
        before = settled_footprint(engine)
        answer = engine.api.post(f"/containers/{container}/start")
        assert answer.status == 500
        assert answer.message.endswith(
            "failed to bind host port 0.0.0.0:9899/sctp: protocol not supported"
        )
        assert_same_footprint(engine, before)
    else:
        container = engine.run(*SLEEP, host=publish(("", 9899), protocol="sctp"))
        assert bindings(engine, container, "80/sctp")[0]["HostPort"] == "9899"


def test_a_thousand_ports_are_elements_and_nothing_else(engine):
    engine.run("true")
    before = settled_footprint(engine)
    rules = chains(engine)
    assert engine.process is not None
    children = len(_children(engine.process.pid))
    free = iter(range(20000, 21000))
    host = {"PortBindings": {f"{n}/tcp": [{"HostPort": str(next(free))}] for n in range(1, 1001)}}
    began = time.monotonic()
    container = engine.run(*SLEEP, host=host)
    taken = time.monotonic() - began
    assert elements(engine) == 1000
    assert chains(engine) == rules
    assert (
        len(_children(engine.process.pid)) <= children + 1
    )  # the container's conmon may be a child
    with listen(netns_of(engine, container), 777) as server:
        assert talk(server, connect(None, "127.0.0.1", 20776))
    with killed(engine):
        pass
    with listen(netns_of(engine, container), 778) as server:
        assert talk(server, connect(None, "::1", 20777))
        assert talk(server, connect(None, "127.0.0.1", 20777))
    engine.remove(container)
    assert_same_footprint(engine, before)
    assert taken < 10  # for a busy machine; an idle one takes a tenth


def _children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += (task / "children").read_text().split()
    return found


def test_many_containers_with_many_ports_come_and_go(engine):
    before = settled_footprint(engine)

    def work(number):
        for _ in range(3):
            ports = {f"{n}/tcp": [{"HostPort": ""}] for n in range(1, 21)}
            container = engine.run(*SLEEP, host={"PortBindings": ports})
            assert len(bindings(engine, container, f"{number + 1}/tcp")) == 2
            engine.remove(container)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert elements(engine) == 0
    assert_same_footprint(engine, before)


# ---- networks come and go while it runs -------------------------------------------------


def test_ports_are_published_as_soon_as_there_is_a_network_for_that(engine, next_door):
    inside = engine.api.post("/networks/create", {"Name": "inside", "Internal": True}).json["Id"]
    one = engine.api.post("/networks/create", {"Name": "one"}).json["Id"]
    before = settled_footprint(engine)
    port = free_port()
    host = {"NetworkMode": "inside", **publish(("", port))}
    container = engine.run(*SLEEP, host=host, ExposedPorts={"80/tcp": {}})
    assert bindings(engine, container) is None

    def ask(verb):
        return engine.api.post(f"/networks/one/{verb}", {"Container": container})

    with listen(None, port):  # the port is in use
        answer = ask("connect")
        assert answer.status == 500
        assert answer.message.startswith("driver failed programming external connectivity on")
        assert answer.message.endswith("address already in use")
        assert list(engine.inspect(container)["NetworkSettings"]["Networks"]) == ["inside"]
    for _ in range(2):
        assert ask("connect").status == 200
        assert {b["HostPort"] for b in bindings(engine, container)} == {str(port)}
        with listen(netns_of(engine, container), 80) as server:
            with killed(engine):
                pass
            assert talk(server, connect(next_door.netns, next_door.host, port)) == next_door.address
            assert talk(server, connect(None, "::1", port))
        assert ask("disconnect").status == 200
        assert bindings(engine, container) is None
        listen(None, port).close()
    engine.remove(container)
    assert_same_footprint(engine, before)
    for network in (inside, one):
        assert engine.api.delete(f"/networks/{network}").status == 204


# ---- rules that other programs remove --------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        "delete table inet {table}",
        "flush table inet {table}",
        "flush chain inet {table} publish",
        "flush map inet {table} ports4",
        "delete element inet {table} ports4 {{ tcp . {port} }}",
    ],
)
def test_rules_come_back(engine, next_door, how):
    port = free_port()
    container = engine.run(*SLEEP, host=publish(("", port)))
    before = settled_footprint(engine)
    command = how.format(table=engine.config.table_name, port=port)

    def again():
        return all(
            sorted(map(json.dumps, now)) == sorted(map(json.dumps, then))
            for now, then in [(settled_footprint(engine).rules, before.rules)]
        )

    subprocess.run(["nft", "-f", "-"], input=command, text=True, check=True)
    eventually(again, 10)
    with listen(netns_of(engine, container), 80) as server:
        # The client's address proves that the packets were redirected, not proxied.
        assert talk(server, connect(next_door.netns, next_door.host, port)) == next_door.address


def test_without_nft_rules_are_made_with_iptables_and_come_back(next_door):
    nft = shutil.which("nft")
    assert nft is not None
    engine = TestEngine(without=[nft])
    engine.start()
    try:
        engine.load_image()
        assert engine.api.get("/info").json["FirewallBackend"]["Driver"] == "iptables"
        port = free_port()
        container = engine.run(*SLEEP, host=publish(("", port)))

        def rules():
            save = [["iptables-save"], ["ip6tables-save"]]
            lines = [
                line
                for command in save
                for line in subprocess.run(
                    command, check=True, capture_output=True, text=True
                ).stdout.splitlines()
            ]
            return sorted(line for line in lines if engine.config.table_name in line)

        before = rules()
        for flushed in (["-F"], ["-t", "nat", "-F"]):
            subprocess.run(["iptables", *flushed], check=True)
            eventually(lambda: rules() == before, 8)
        with listen(netns_of(engine, container), 80) as server:
            assert talk(server, connect(next_door.netns, next_door.host, port)) == next_door.address
    finally:
        engine.close()
    assert rules() == []


def test_the_engine_does_not_disturb_itself(engine):
    """The engine's own changes, such as removing a network, cause no repair."""
    engine.run("true")
    settled_footprint(engine)
    mark = engine.log.stat().st_size
    for number in range(3):
        answer = engine.api.post("/networks/create", {"Name": f"passing{number}"})
        container = engine.run(
            *SLEEP, host={"NetworkMode": f"passing{number}", **publish(("", ""))}
        )
        engine.remove(container)
        assert engine.api.delete(f"/networks/{answer.json['Id']}").status == 204
    time.sleep(1.5)
    with engine.log.open("rb") as log:
        log.seek(mark)
        text = log.read().decode()
    assert "rewritten" not in text


def test_a_host_firewalls_own_table_is_left_alone():
    table = f"hosts_own_{os.getpid()}"
    script = f"""table inet {table} {{
        chain input {{ type filter hook input priority 0; policy accept; tcp dport 1 drop; }}
    }}
    """
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    try:
        show = ["nft", "list", "table", "inet", table]
        before = subprocess.run(show, check=True, capture_output=True).stdout
        engine = TestEngine()
        engine.start()
        engine.load_image()
        engine.run(*SLEEP, host=publish(("", "")))
        engine.stop()
        engine.start()
        engine.close()
        assert subprocess.run(show, check=True, capture_output=True).stdout == before
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)


def test_rules_of_another_back_end_go(own_engine):
    table = own_engine.config.table_name
    container = own_engine.run(*SLEEP, host=publish(("", free_port())))

    def made():
        commands = {"nftables": ["nft", "list", "tables"], "iptables": ["iptables-save"]}
        return [
            name
            for name, command in commands.items()
            if table in subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ]

    assert made() == ["nftables"]
    for flags, left in (
        (["--firewall-backend=iptables"], ["iptables"]),
        (["--iptables=false", "--ip6tables=false"], []),
        ([], ["nftables"]),
        (["--firewall-backend=iptables"], ["iptables"]),
    ):
        own_engine.kill()
        own_engine.flags = tuple(flags)
        own_engine.start()
        assert made() == left
    own_engine.remove(container)


def test_a_host_firewall_that_drops_forwarded_packets_causes_a_warning(own_engine):
    table = f"hosts_own_{os.getpid()}"
    chain = "type filter hook forward priority 10; policy drop; accept;"
    script = f"table inet {table} {{\nchain mine {{ {chain} }}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    try:
        own_engine.kill()
        own_engine.start()
        warnings = own_engine.api.get("/info").json["Warnings"]
        assert any(f"policy of inet {table} mine" in warning for warning in warnings)
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)


def test_the_engines_rules_precede_iptables_rules_that_drop_forwarded_packets(next_door):
    """Set up iptables as on a machine with dockerd or ufw."""
    show = ["nft", "list", "table", "ip", "filter"]
    strange = subprocess.run(show, check=False, capture_output=True).returncode != 0
    subprocess.run(["iptables", "-P", "FORWARD", "DROP"], check=True)
    engine = TestEngine()
    try:
        engine.start()
        engine.load_image()
        info = engine.api.get("/info").json
        assert info["FirewallBackend"]["Driver"] == "iptables"
        assert not any("FORWARD" in warning for warning in info["Warnings"] or [])
        port = free_port()
        container = engine.run(*SLEEP, host=publish(("", port)))
        with listen(netns_of(engine, container), 80) as server:
            assert talk(server, connect(next_door.netns, next_door.host, port)) == next_door.address
        with listen(next_door.netns, port) as server:
            assert talk(server, connect(netns_of(engine, container), next_door.address, port))
    finally:
        engine.close()
        subprocess.run(["iptables", "-P", "FORWARD", "ACCEPT"], check=True)
        if strange:
            subprocess.run(["nft", "delete", "table", "ip", "filter"], check=True)


# ---- without any firewall --------------------------------------------------------------


def test_without_a_firewall_everything_is_carried(unwalled, next_door):
    assert unwalled.api.get("/info").json["FirewallBackend"]["Driver"] == "none"
    stream, datagram = free_port(), free_port(DATAGRAM)
    host = {
        "PortBindings": {
            "80/tcp": [{"HostPort": str(stream)}],
            "80/udp": [{"HostPort": str(datagram)}],
        }
    }
    container = unwalled.run(*SLEEP, host=host)
    netns = netns_of(unwalled, container)
    with listen(netns, 80) as server:
        for client, address in ((next_door.netns, next_door.host), (None, "::1")):
            assert talk(server, connect(client, address, stream))
    with listen(netns, 80, kind=DATAGRAM) as server:
        for client, address in ((next_door.netns, next_door.host), (None, "::1")):
            assert talk_udp(server, connect(client, address, datagram, kind=DATAGRAM))
    assert unwalled.config.table_name not in subprocess.run(
        ["nft", "list", "tables"], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    assert any("No firewall" in line for line in unwalled.api.get("/info").json["Warnings"])


# ---- the engine stops and starts again under traffic -----------------------------------


def test_connections_continue_while_the_engine_is_killed(own_engine, next_door):
    port = free_port()
    container = own_engine.run(*SLEEP, host=publish(("", port)))
    with listen(netns_of(own_engine, container), 80) as server:
        client = connect(next_door.netns, next_door.host, port)
        connection, peer = server.accept()
        assert peer[0] == next_door.address
        stop = threading.Event()
        exchanged = 0

        def echo():
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

        def traffic():
            nonlocal exchanged
            with client:
                while not stop.is_set():
                    client.sendall(b"x" * 1000)
                    left = 1000
                    while left:
                        left -= len(client.recv(left))
                    exchanged += 1

        threads = [threading.Thread(target=work) for work in (echo, traffic)]
        for thread in threads:
            thread.start()
        marks = []
        for _ in range(3):
            with killed(own_engine):
                time.sleep(0.2)
                marks.append(exchanged)
                # New connections work too.
                extra = connect(next_door.netns, next_door.host, port)
                extra.close()
                server.accept()[0].close()
            marks.append(exchanged)
        time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
        assert marks == sorted(set(marks))
        assert exchanged > marks[-1]
