import asyncio
import contextlib
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palan.api.errors import InternalError
from palan.engine.networks import host_ports as ports_module
from palan.engine.networks.endpoint_records import PortRecord
from palan.engine.networks.host_ports import HostPorts, PortRequest, Target, publications
from palan.engine.networks.rules import Publication


LOOPBACK = "127.0.0.1"
TARGET = Target(address=LOOPBACK)


def free_ports(count: int, kind: int = socket.SOCK_STREAM) -> list[int]:
    """Return numbers of ports that are not in use."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
            sock.bind((LOOPBACK, 0))
            found.append(sock.getsockname()[1])
        return found


def request(*host_ports: int, ip: str = LOOPBACK, protocol: str = "tcp", inner: int = 80):
    return PortRequest(inner, protocol, ip, host_ports)


def is_free(port: int, ip: str = LOOPBACK, kind: int = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((ip, port))
            if kind == socket.SOCK_STREAM:
                sock.listen()
        except OSError:
            return False
    return True


@pytest.fixture
def published():
    ports = HostPorts()
    yield ports
    ports.close()


def test_a_port_is_held_until_it_is_given_back(published):
    (port,) = free_ports(1)
    (record,) = published.reserve("a", [request(port)], TARGET)
    assert record == PortRecord(host_ip=LOOPBACK, host_port=port, container_port=80, protocol="tcp")
    assert not is_free(port)
    published.release("a")
    published.release("a")
    published.release("never seen")
    assert is_free(port)


def test_tcp_and_udp_of_one_number_are_two_ports(published):
    (port,) = free_ports(1)
    published.reserve("a", [request(port), request(port, protocol="udp")], TARGET)
    assert not is_free(port, kind=socket.SOCK_DGRAM)


@pytest.mark.parametrize(
    ("first", "second"),
    [(LOOPBACK, LOOPBACK), ("0.0.0.0", LOOPBACK), (LOOPBACK, "0.0.0.0"), ("::1", "0:0::1")],
)
def test_a_port_of_another_container_is_refused_in_dockerds_words(published, first, second):
    (port,) = free_ports(1)
    published.reserve("a", [request(port, ip=first)], TARGET)
    shown = {"0:0::1": "[::1]"}.get(second, second)
    with pytest.raises(InternalError) as caught:
        published.reserve("b", [request(port, ip=second)], TARGET)
    assert caught.value.message == f"Bind for {shown}:{port} failed: port is already allocated"


def test_a_port_of_another_program_is_refused_with_its_reason(published):
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InternalError) as caught:
            published.reserve("a", [request(port)], TARGET)
    assert caught.value.message == (
        f"failed to bind host port {LOOPBACK}:{port}/tcp: address already in use"
    )


def test_an_address_that_the_host_does_not_have_is_refused(published):
    with pytest.raises(InternalError, match="cannot assign requested address"):
        published.reserve("a", [request(1, ip="192.0.2.1")], TARGET)


def test_all_or_none(published):
    first, second = free_ports(2)
    published.reserve("a", [request(second)], TARGET)
    with pytest.raises(InternalError):
        published.reserve("b", [request(first), request(second)], TARGET)
    assert is_free(first)
    published.reserve("c", [request(first)], TARGET)


def test_of_a_range_the_first_free_one_is_taken(published):
    first, second, third = free_ports(3)
    published.reserve("a", [request(first)], TARGET)
    (record,) = published.reserve("b", [request(first, second, third)], TARGET)
    assert record.host_port == second
    with pytest.raises(InternalError, match="all ports are allocated"):
        published.reserve("c", [request(first, second)], TARGET)


def test_an_ipv4_address_in_an_ipv6_one_is_the_ipv4_address(published):
    (port,) = free_ports(1)
    (record,) = published.reserve("a", [request(port, ip=f"::ffff:{LOOPBACK}")], TARGET)
    assert record.host_ip == LOOPBACK


def test_any_free_port_is_one_after_the_other(published):
    records = published.reserve("a", [request() for _ in range(5)], TARGET)
    numbers = [record.host_port for record in records]
    assert len(set(numbers)) == 5
    assert all(number in ports_module.EPHEMERAL for number in numbers)
    published.release("a")
    (again,) = published.reserve("a", [request()], TARGET)
    assert again.host_port not in numbers  # late packets must not reach a new owner


def test_exact_ports_come_before_ranges_and_free_ones(published, monkeypatch):
    first, second, third = (free_ports(1)[0] for _ in range(3))
    monkeypatch.setattr(published, "_ephemeral", lambda: iter((first, second, third)))
    requests = [request(), request(first, second, inner=81), request(first, inner=82)]
    records = published.reserve("a", requests, TARGET)
    assert [r.container_port for r in records] == [80, 81, 82]
    assert [r.host_port for r in records] == [third, second, first]


def test_the_addresses_of_one_port_get_the_same_free_port(published):
    records = published.reserve("a", [request(), request(ip="127.0.0.2"), request()], TARGET)
    assert records[0].host_port == records[1].host_port != records[2].host_port
    assert [r.host_ip for r in records] == [LOOPBACK, "127.0.0.2", LOOPBACK]


def test_the_search_for_a_free_port_ends(published, monkeypatch):
    (first,) = free_ports(1)
    monkeypatch.setattr(ports_module, "EPHEMERAL", range(first, first + 1))
    published._next = first
    published.reserve("a", [request()], TARGET)
    with pytest.raises(InternalError, match="already allocated"):
        published.reserve("b", [request()], TARGET)


def test_without_a_requested_address_the_default_one_is_used(published):
    (port,) = free_ports(1)
    (record,) = published.reserve(
        "a", [request(port, ip="")], Target(address=LOOPBACK, default_ip="127.0.0.2")
    )
    assert record.host_ip == "127.0.0.2"


def test_all_addresses_are_those_of_ipv6_too(published):
    if not ports_module._has_ipv6():
        pytest.skip("no IPv6 here")
    (port,) = free_ports(1)
    records = published.reserve("a", [request(port, ip="")], TARGET)
    assert [r.host_ip for r in records] == ["0.0.0.0", "::"]
    assert [r.host_port for r in records] == [port, port]
    assert not is_free(port, "::1")
    published.release("a")
    # A requested address is used exactly.
    assert len(published.reserve("a", [request(port, ip="0.0.0.0")], TARGET)) == 1


def test_if_one_address_is_taken_the_port_is_held_at_none(published):
    if not ports_module._has_ipv6():
        pytest.skip("no IPv6 here")
    (port,) = free_ports(1)
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", port))
        other.listen()
        with pytest.raises(InternalError, match=rf"\[::\]:{port}/tcp: address already in use"):
            published.reserve("a", [request(port, ip="")], TARGET)
        assert is_free(port)


async def test_a_running_container_gets_its_ports_again(published):
    first, second = free_ports(2)
    records = published.reserve("a", [request(first), request(second)], TARGET)
    published.close()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, second))
        other.listen()
        failures = await asyncio.to_thread(published.adopt, "a", records)
    assert not is_free(first)
    assert len(failures) == 1
    assert f"{LOOPBACK}:{second}/tcp" in failures[0]


async def test_the_proxy_forwards_to_the_container(published):
    with socket.socket() as target:
        target.bind((LOOPBACK, 0))
        target.listen()
        requests = [
            request(
                ip="0:0::1" if ports_module._has_ipv6() else LOOPBACK, inner=target.getsockname()[1]
            )
        ]
        records = published.reserve("a", requests, TARGET)
        published.start_proxies("a", records, TARGET)
        reader, writer = await asyncio.open_connection(records[0].host_ip, records[0].host_port)
        writer.write(b"hello")
        target.settimeout(5)
        connection, _ = await asyncio.to_thread(target.accept)
        with connection:
            assert await asyncio.to_thread(connection.recv, 5) == b"hello"
            connection.sendall(b"world")
            assert await reader.readexactly(5) == b"world"
        writer.close()


async def test_datagrams_are_carried_and_answered_from_where_they_came_to(published):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.bind((LOOPBACK, 0))
        target.settimeout(5)
        inner = target.getsockname()[1]
        records = published.reserve("a", [request(protocol="udp", ip="", inner=inner)], TARGET)
        published.start_proxies("a", records, TARGET)
        hosts = [LOOPBACK, "127.0.0.7", *(["::1"] if len(records) == 2 else [])]
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.connect(
                    (host, records[0].host_port)
                )  # accepts replies from this address only
                for word in (b"one", b"two"):
                    client.send(word)
                    data, peer = await asyncio.to_thread(target.recvfrom, 100)
                    target.sendto(data.upper(), peer)
                    assert await asyncio.to_thread(client.recv, 100) == word.upper()


def records_at(*addresses):
    return [
        PortRecord(host_ip=ip, host_port=8080, container_port=80, protocol="tcp")
        for ip in addresses
    ]


def test_rules_are_for_the_families_that_a_container_has():
    records = records_at("0.0.0.0", "::", "127.0.0.1")
    assert publications(records, Target(address="172.17.0.2")) == [
        Publication("0.0.0.0", 8080, "tcp", "172.17.0.2", 80),
        Publication("127.0.0.1", 8080, "tcp", "172.17.0.2", 80),
    ]
    both = Target(address="172.17.0.2", address6="fd00::2", direct=frozenset({6}))
    assert publications(records, both)[1] == (
        Publication("::", 8080, "tcp", "fd00::2", 80, direct=True)
    )


def test_in_a_routed_network_no_port_of_the_host_is_taken(published):
    target = Target(address="172.17.0.2", routed=frozenset({4}))
    (port,) = free_ports(1)
    records = published.reserve("a", [request(port, ip="")], target)
    assert [(r.host_ip, r.host_port) for r in records] == [("0.0.0.0", 0)]
    assert is_free(port)
    assert publications(records, target) == [
        Publication("0.0.0.0", 0, "tcp", "172.17.0.2", 80, direct=True)
    ]


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        (Target(address="10.0.0.2"), ["0.0.0.0", "::"]),
        (Target(address="10.0.0.2", proxy=False), ["0.0.0.0"]),
        (Target(address="10.0.0.2", address6="fd00::2", proxy=False), ["0.0.0.0", "::"]),
        (Target(address6="fd00::2"), ["::"]),
        (Target(address="10.0.0.2", default_ip="127.0.0.1"), ["127.0.0.1"]),
    ],
)
def test_the_default_addresses_of_published_ports(published, target, hosts):
    if not ports_module._has_ipv6():
        pytest.skip("no IPv6 here")
    assert [r.host_ip for r in published.reserve("a", [request(ip="")], target)] == hosts


def test_a_thousand_ports_take_no_time(published):
    began = time.perf_counter()
    records = published.reserve("a", [request() for _ in range(1000)], TARGET)
    published.release("a")
    assert len({r.host_port for r in records}) == 1000
    assert time.perf_counter() - began < 2


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "give"]), st.sampled_from("abc"), st.integers(0, 2),
            st.sampled_from([LOOPBACK, "0.0.0.0", "127.0.0.2"]),
        ),
        max_size=15,
    )
)  # fmt: skip
def test_a_port_has_one_owner_whatever_happens(steps):
    published = HostPorts()
    numbers = free_ports(3, socket.SOCK_DGRAM)
    owners: dict[tuple[str, int], str] = {}
    for action, owner, index, ip in steps:
        if action == "give":
            published.release(owner)
            owners = {key: held for key, held in owners.items() if held != owner}
            continue
        taken = any(
            port == index and ("0.0.0.0" in (ip, other) or ip == other) for other, port in owners
        )
        try:
            published.reserve(owner, [request(numbers[index], ip=ip, protocol="udp")], TARGET)
        except InternalError:
            refused = True
            owners = {key: held for key, held in owners.items() if held != owner}
        else:
            refused = False
            owners[ip, index] = owner
        assert refused is taken
    published.close()
    assert all(is_free(n, kind=socket.SOCK_DGRAM) for n in numbers)
