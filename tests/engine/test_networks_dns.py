"""Name resolution from inside of containers."""

import ipaddress
import shutil
import socket
import statistics
import struct
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.crash import exec_output, killed
from tests.support.dns import AAAA, MX, PTR, SERVER, TXT, Resolver, address_record, ask, question
from tests.support.network import connect, listen, neighbour, netns_of, talk_udp

from palan.host.namespaces import run_in_netns


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")
NOERROR, FORMERR, SERVFAIL = 0, 1, 2


@pytest.fixture(scope="module")
def next_door():
    with neighbour() as machine:
        yield machine


@pytest.fixture
def network(engine):
    """Yield a function that creates networks, which are removed at the end."""
    made = []

    def make(name: str, **body) -> str:
        answer = engine.api.post("/networks/create", {"Name": name, **body})
        assert answer.status == 201, answer.body
        made.append(answer.json["Id"])
        return str(answer.json["Id"])

    yield make
    engine.remove_all()
    for made_id in made:
        assert engine.api.delete(f"/networks/{made_id}").status in (204, 404)


def on(name, **endpoint):
    """Return the request fields that put a container on a network."""
    return {
        # No resolver listens at its port 53: names of no container fail at once.
        "host": {"NetworkMode": name, "Dns": ["127.0.0.1"]},
        "NetworkingConfig": {"EndpointsConfig": {name: endpoint}},
    }


def address(engine, container, name):
    return engine.inspect(container)["NetworkSettings"]["Networks"][name]["IPAddress"]


def test_names_aliases_and_short_ids(engine, network):
    network("dnsnet")
    web = engine.run(*SLEEP, name="web", **on("dnsnet", Aliases=["www", "shop"]), Hostname="inner")
    other = engine.run(*SLEEP, name="other", **on("dnsnet"))
    where = address(engine, web, "dnsnet")
    netns = netns_of(engine, other)
    for name in ("web", "WEB", "www", "shop", web[:12], "inner", "web.dnsnet", "www.DNSNET"):
        assert ask(netns, name).found == [where], name
        assert ask(netns, name, tcp=True).found == [where], name
    # The other address family and other types give an empty answer, not an error.
    for rtype in (AAAA, MX, TXT):
        assert ask(netns, "web", rtype)[:2] == (NOERROR, [])
    assert ask(netns, ipaddress.ip_address(where).reverse_pointer, PTR).found == ["web.dnsnet"]
    assert exec_output(engine, other, "cat", "/etc/resolv.conf").splitlines()[0] == (
        "nameserver 127.0.0.11"
    )
    assert "ndots:0" in exec_output(engine, other, "cat", "/etc/resolv.conf")
    # The container's own programs resolve it too.
    assert "from" in exec_output(engine, other, "ping", "-c", "1", "-W", "2", "www")
    assert where in exec_output(engine, other, "nslookup", "web")


def test_names_follow_the_containers(engine, network):
    network("dnsnet")
    asking = netns_of(engine, engine.run(*SLEEP, **on("dnsnet")))
    container = engine.run(*SLEEP, name="early", **on("dnsnet"))
    assert ask(asking, "early").found
    assert engine.api.post(f"/containers/{container}/rename?name=late").status == 204
    assert ask(asking, "late").found
    assert ask(asking, "early").found == []
    engine.remove(container)
    assert ask(asking, "late").found == []


def test_several_containers_behind_one_alias_take_turns(engine, network):
    network("dnsnet")
    addresses = {
        address(engine, engine.run(*SLEEP, **on("dnsnet", Aliases=["pool"])), "dnsnet")
        for _ in range(3)
    }
    netns = netns_of(engine, engine.run(*SLEEP, **on("dnsnet")))
    replies = [ask(netns, "pool").found for _ in range(40)]
    assert {reply[0] for reply in replies} == addresses
    assert all(set(reply) == addresses for reply in replies)


def test_both_families(engine, network):
    network(
        "dnsnet",
        EnableIPv6=True,
        IPAM={"Config": [{"Subnet": "10.231.77.0/24"}, {"Subnet": "fd00:231:77::/64"}]},
    )
    web = engine.run(*SLEEP, name="web", **on("dnsnet"))
    netns = netns_of(engine, engine.run(*SLEEP, **on("dnsnet")))
    shown = engine.inspect(web)["NetworkSettings"]["Networks"]["dnsnet"]
    six = shown["GlobalIPv6Address"]
    assert ask(netns, "web").found == [shown["IPAddress"]]
    assert ask(netns, "web", AAAA).found == [six]
    assert ask(netns, ipaddress.ip_address(six).reverse_pointer, PTR).found == ["web.dnsnet"]


def test_links_are_the_containers_own_names(engine, network):
    network("dnsnet")
    database = engine.run(*SLEEP, name="database", **on("dnsnet"))
    linked = engine.run(
        *SLEEP, **on("dnsnet", Links=["database:db"])
    )  # fmt: skip
    where = address(engine, database, "dnsnet")
    assert ask(netns_of(engine, linked), "db").found == [where]
    assert ask(netns_of(engine, database), "db").found == []


def test_networks_do_not_know_each_others_names(engine, network):
    network("dnsone")
    network("dnstwo")
    engine.run(*SLEEP, name="hidden", **on("dnsone"))
    apart = engine.run(*SLEEP, **on("dnstwo"))
    assert ask(netns_of(engine, apart), "hidden").found == []
    answer = engine.api.post("/networks/dnsone/connect", {"Container": apart})
    assert answer.status == 200
    assert ask(netns_of(engine, apart), "hidden").found
    answer = engine.api.post("/networks/dnsone/disconnect", {"Container": apart})
    assert answer.status == 200
    assert ask(netns_of(engine, apart), "hidden").found == []


def test_a_container_of_the_default_network_that_joins_gets_names(engine, network):
    network("dnsnet")
    engine.run(*SLEEP, name="web", **on("dnsnet"))
    container = engine.run(*SLEEP)
    assert "127.0.0.11" not in exec_output(engine, container, "cat", "/etc/resolv.conf")
    assert engine.api.post("/networks/dnsnet/connect", {"Container": container}).status == 200
    assert ask(netns_of(engine, container), "web").found
    assert "127.0.0.11" in exec_output(engine, container, "cat", "/etc/resolv.conf")


# ---- names outside -------------------------------------------------------------------


def test_other_names_are_asked_for_from_the_containers_network(engine, network, next_door):
    network("dnsnet")
    with Resolver(next_door.netns, next_door.address, address_record("192.0.2.7")) as outside:
        container = engine.run(
            *SLEEP, host={"NetworkMode": "dnsnet", "Dns": [next_door.address],
                          "DnsSearch": ["example.net"], "DnsOptions": ["timeout:3"]},
        )  # fmt: skip
        netns = netns_of(engine, container)
        assert ask(netns, "example.com").found == ["192.0.2.7"]
        assert ask(netns, "example.org", tcp=True).found == ["192.0.2.7"]
        assert outside.asked == [("example.com", "udp"), ("example.org", "tcp")]
        text = exec_output(engine, container, "cat", "/etc/resolv.conf")
        assert text.splitlines() == [
            "nameserver 127.0.0.11", "search example.net", "options timeout:3 ndots:0",
        ]  # fmt: skip
        # A container's name is never forwarded.
        engine.run(*SLEEP, name="web", **on("dnsnet"))
        assert ask(netns, "web").found != ["192.0.2.7"]
        assert ask(netns, "web", MX)[:2] == (NOERROR, [])
        assert len(outside.asked) == 2


def test_long_answers(engine, network, next_door):
    def long(message, _tcp):
        end = message.index(b"\0", 12) + 5
        record = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, 250) + b"\xf9" + bytes(249)
        head = message[:2] + b"\x81\x80\0\1" + (10).to_bytes(2) + b"\0\0\0\0"
        return head + message[12:end] + record * 10

    network("dnsnet")
    with Resolver(next_door.netns, next_door.address, long):
        container = engine.run(*SLEEP, host={"NetworkMode": "dnsnet", "Dns": [next_door.address]})
        netns = netns_of(engine, container)
        short = ask(netns, "long.example", TXT)
        assert short.truncated
        assert short.size <= 512
        whole = ask(netns, "long.example", TXT, edns=4096)
        assert (whole.truncated, len(whole.found)) == (False, 10)
        assert len(ask(netns, "long.example", TXT, tcp=True).found) == 10


def test_without_an_answer_the_query_fails_in_time(engine, network, next_door):
    network("dnsnet")
    dead = [next_door.address, "192.0.2.53"]
    container = engine.run(*SLEEP, host={"NetworkMode": "dnsnet", "Dns": dead})
    began = time.monotonic()
    assert ask(netns_of(engine, container), "example.com", wait=8).rcode == SERVFAIL
    assert time.monotonic() - began < 7


def test_the_second_resolver_answers_while_the_first_is_silent(engine, network, next_door):
    network("dnsnet")

    def silent(_message, _tcp):
        return None

    with (
        Resolver(next_door.netns, next_door.address, silent) as first,
        neighbour() as second_door,
        Resolver(second_door.netns, second_door.address, address_record("192.0.2.8")),
    ):
        container = engine.run(
            *SLEEP,
            host={"NetworkMode": "dnsnet", "Dns": [next_door.address, second_door.address]},
        )
        began = time.monotonic()
        assert ask(netns_of(engine, container), "example.com").found == ["192.0.2.8"]
        assert time.monotonic() - began < 4
        assert first.asked


def test_an_internal_network_forwards_no_queries(engine, network, next_door):
    network("dnsnet", Internal=True)
    with Resolver(next_door.netns, next_door.address, address_record("192.0.2.7")) as outside:
        container = engine.run(
            *SLEEP, name="inside", host={"NetworkMode": "dnsnet", "Dns": [next_door.address]}
        )
        netns = netns_of(engine, container)
        assert ask(netns, "inside").found
        assert ask(netns, "example.com").rcode == SERVFAIL
        assert outside.asked == []


def test_the_hosts_own_resolver_on_loopback(network, engine):
    # Forwarded from the host's network, as the container can't reach it; unless it is internal.
    # The file belongs to the machine: it is only read, and used if it names such a resolver.
    servers = [
        line.split()[1]
        for line in Path("/etc/resolv.conf").read_text().splitlines()
        if line.startswith("nameserver") and len(line.split()) > 1
    ]
    if not any(server.startswith("127.") for server in servers):
        pytest.skip("the host has no resolver on its loopback")
    network("dnsnet")
    container = engine.run(*SLEEP, host={"NetworkMode": "dnsnet"})
    with Resolver(None, servers[0], address_record("192.0.2.9")):
        assert ask(netns_of(engine, container), "example.com").found == ["192.0.2.9"]


# ---- other servers at port 53 --------------------------------------------------------


def test_a_container_may_be_a_name_server_itself(engine, network):
    network("dnsnet")
    container = engine.run(*SLEEP, name="own", **on("dnsnet"))
    netns = netns_of(engine, container)
    other = engine.run(*SLEEP, **on("dnsnet"))
    with (
        listen(netns, 53, kind=socket.SOCK_DGRAM) as server,
        listen(netns, 53),
    ):
        where = address(engine, container, "dnsnet")
        client = connect(netns_of(engine, other), where, 53, kind=socket.SOCK_DGRAM)
        assert talk_udp(server, client) == address(engine, other, "dnsnet")
        # Its own queries still reach the engine.
        assert ask(netns, "own").found == [where]
        assert ask(netns, "own", tcp=True).found == [where]


def test_nonsense_does_no_harm(engine, network):
    network("dnsnet")
    netns = netns_of(engine, engine.run(*SLEEP, name="web", **on("dnsnet")))

    def shout():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for junk in (b"", b"\0", b"\xff" * 700, question("web")[:-3], bytes(2000)):
                sock.sendto(junk, SERVER)
        with socket.create_connection(SERVER) as stream:
            stream.sendall(b"\xff\xff" + bytes(100))

    run_in_netns(netns, shout)
    assert ask(netns, "web").found


# ---- the engine stops and starts again -----------------------------------------------


def test_names_come_back_with_the_engine(own_engine):
    engine = own_engine
    assert engine.api.post("/networks/create", {"Name": "dnsnet"}).status == 201
    web = engine.run(*SLEEP, name="web", **on("dnsnet", Aliases=["www"]))
    asking = netns_of(engine, engine.run(*SLEEP, **on("dnsnet")))
    where = address(engine, web, "dnsnet")
    assert ask(asking, "www").found == [where]
    with killed(engine):
        pass
    assert ask(asking, "www").found == [where]
    assert ask(asking, "web.dnsnet", tcp=True).found == [where]
    engine.stop()
    engine.start()
    assert ask(asking, "www").found == [where]
    # Another process may have taken the server's former port.
    with killed(engine):
        holder = run_in_netns(asking, _take_the_port)
    assert ask(asking, "www").found == [where]
    for sock in holder:
        sock.close()


def _take_the_port():
    """Bind sockets to the port that port 53 is redirected to, in the thread's namespace."""
    shown = subprocess.run(
        ["nft", "list", "ruleset"], check=True, capture_output=True, text=True
    ).stdout
    port = int(shown.split("dnat to 127.0.0.11:")[1].split()[0])
    made = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("0.0.0.0", port))
        made.append(sock)
    return made


def test_answers_are_fast(engine, network):
    network("dnsnet")
    netns = netns_of(engine, engine.run(*SLEEP, name="web", **on("dnsnet")))
    asked = question("web")

    def measure():
        times = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect(SERVER)
            for _ in range(500):
                began = time.perf_counter()
                sock.send(asked)
                sock.recv(512)
                times.append(time.perf_counter() - began)
        return times

    # A generous limit, as the machine may be busy: an idle one takes a tenth of a millisecond.
    assert statistics.median(run_in_netns(netns, measure)) < 0.005


@pytest.mark.skipif(shutil.which("dig") is None, reason="no dig here")
def test_dig(engine, network):
    network("dnsnet")
    web = engine.run(*SLEEP, name="web", **on("dnsnet"))
    pid = engine.inspect(web)["State"]["Pid"]

    def dig(*words):
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", "dig", "@127.0.0.11", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    where = address(engine, web, "dnsnet")
    assert dig("+short", "web").split() == [where]
    assert dig("+short", "+tcp", "web").split() == [where]
    assert dig("+short", "-x", where).split() == ["web.dnsnet."]
    text = dig("web")
    assert "status: NOERROR" in text
    assert "WARNING" not in text
    assert "600" in text
