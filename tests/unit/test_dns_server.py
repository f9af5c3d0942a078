"""A container's name server and the resolvers that it forwards to, on loopback."""

import asyncio
import contextlib
import socket
import struct
from typing import NamedTuple

import pytest

from palan.engine.networks import dns_forward
from palan.engine.networks.dns_forward import Forwarder, Upstream
from palan.engine.networks.dns_message import (
    Answer,
    Rcode,
    Rtype,
    answer,
    encode_name,
    failure,
    parse_query,
    query_bytes,
    response_code,
)
from palan.engine.networks.dns_server import DnsServer, answer_locally, open_sockets


def question(name, rtype=Rtype.A, number=7, edns=0):
    opt = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    header = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 1 if edns else 0)
    return header + encode_name(name) + struct.pack("!HH", rtype, 1) + opt


NAMES = {
    "web": (["10.0.0.2"], ["fd00::2"]),
    "many": ([f"10.0.1.{n}" for n in range(1, 6)], []),
    "k\u00fcche": (["10.0.0.3"], []),
}
NAMES_OF = {
    "10.0.0.2": ["web.net", "web"],
    "fd00::2": ["web.net", "web"],
    "10.0.0.4": ["x" * 64 + ".net", "short..net", "short"],
}


class Known:
    """The names that the container's networks have."""

    def lookup(self, name):
        return NAMES.get(name)

    def reverse(self, address):
        return NAMES_OF.get(address, ())


def ask_locally(name, rtype=Rtype.A):
    return answer_locally(parse_query(question(name, rtype)), Known())


def test_addresses_of_a_container():
    assert ask_locally("web").endswith(socket.inet_aton("10.0.0.2"))
    assert ask_locally("WEB").endswith(socket.inet_aton("10.0.0.2"))
    assert ask_locally("web", Rtype.AAAA).endswith(socket.inet_pton(socket.AF_INET6, "fd00::2"))


@pytest.mark.parametrize(("name", "rtype"), [("many", 28), ("web", 15), ("web", 16), ("web", 65)])
def test_a_known_name_without_such_records_is_no_error(name, rtype):
    reply = ask_locally(name, rtype)
    assert response_code(reply) == Rcode.NOERROR
    assert reply[6:8] == b"\0\0"


def test_other_names_are_not_ours():
    assert ask_locally("example.com") is None
    assert ask_locally("1.2.3.4.in-addr.arpa", Rtype.PTR) is None
    assert ask_locally("nonsense.in-addr.arpa", Rtype.PTR) is None


def test_reverse():
    assert ask_locally("2.0.0.10.in-addr.arpa", Rtype.PTR).endswith(b"\3web\3net\0")


def test_names_invalid_in_dns_have_no_reverse_answer():
    assert ask_locally("4.0.0.10.in-addr.arpa", Rtype.PTR).endswith(b"\5short\0")


def test_names_may_be_any_text():
    assert ask_locally("k\u00fcche").endswith(socket.inet_aton("10.0.0.3"))


def test_several_containers_take_turns():
    firsts = {ask_locally("many")[-4:] for _ in range(200)}
    assert firsts == {socket.inet_aton(a) for a in NAMES["many"][0]}


# ---- with sockets --------------------------------------------------------------------


class Elsewhere:
    """A resolver on loopback, over UDP and TCP, with behaviour that a test determines."""

    def __init__(self, respond):
        self.respond = respond
        self.asked = []

    async def __aenter__(self):
        for _ in range(20):
            self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self._udp.bind(("127.0.0.1", self.port))
                break
            except OSError:  # another socket has the port for UDP
                self._udp.close()
                self._server.close()
        self._udp.setblocking(False)
        asyncio.get_running_loop().add_reader(self._udp.fileno(), self._datagram)
        return self

    async def __aexit__(self, *_):
        asyncio.get_running_loop().remove_reader(self._udp.fileno())
        self._udp.close()
        self._server.close()

    @property
    def upstream(self):
        return Upstream("127.0.0.1", on_host=True, port=self.port)

    def _reply(self, message, *, tcp):
        query = parse_query(message)
        self.asked.append((query.name, "tcp" if tcp else "udp"))
        return self.respond(query, tcp)

    def _datagram(self):
        message, client = self._udp.recvfrom(65535)
        reply = self._reply(message, tcp=False)
        if reply:
            self._udp.sendto(reply, client)

    async def _connection(self, reader, writer):
        with contextlib.suppress(EOFError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = self._reply(await reader.readexactly(size), tcp=True)
            if reply:
                writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()


def says(address):
    return lambda query, _tcp: answer(query, [Answer(Rtype.A, socket.inet_aton(address))])


def silent(_query, _tcp):
    return None


def fails(query, _tcp):
    return failure(query, Rcode.SERVFAIL)


class Addresses(NamedTuple):
    """The address of the resolver."""

    udp: tuple[str, int]
    tcp: tuple[str, int]


@contextlib.asynccontextmanager
async def pair(behaviour):
    """Run two resolvers, the first with a given behaviour, the second a working one."""
    async with Elsewhere(behaviour) as bad, Elsewhere(says("192.0.2.1")) as good:
        yield bad.upstream, good.upstream


@contextlib.asynccontextmanager
async def server(*upstreams, dotted_only=False):
    sockets = open_sockets([0])
    # UDP and TCP have different ports here, which makes no difference to the tests.
    made = DnsServer(
        sockets,
        Known(),
        Forwarder("", lambda: upstreams),
        dotted_only=dotted_only,
        forwarded=8,
    )
    try:
        yield Addresses(*(s.getsockname() for s in sockets))
    finally:
        made.close()


async def udp(address, message, patience=8):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(address)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, message)
        return await asyncio.wait_for(loop.sock_recv(sock, 65535), patience)


async def tcp(address, *messages):
    reader, writer = await asyncio.open_connection(*address)
    replies = []
    for message in messages:
        writer.write(len(message).to_bytes(2, "big") + message)
        size = int.from_bytes(await reader.readexactly(2), "big")
        replies.append(await reader.readexactly(size))
    writer.close()
    return replies


async def test_over_udp_and_tcp():
    async with server() as ours:
        assert (await udp(ours.udp, question("web"))).endswith(b"\x0a\0\0\2")
        first, second = await tcp(ours.tcp, question("web"), question("many"))
        assert first.endswith(b"\x0a\0\0\2")
        assert second[6:8] == b"\0\5"


async def test_others_are_asked_about_other_names_and_the_number_is_kept():
    async with Elsewhere(says("192.0.2.1")) as other, server(other.upstream) as ours:
        reply = await udp(ours.udp, question("example.com", number=4711))
        assert reply[:2] == (4711).to_bytes(2, "big")
        assert reply.endswith(socket.inet_aton("192.0.2.1"))
        (reply,) = await tcp(ours.tcp, question("example.org"))
        assert reply.endswith(socket.inet_aton("192.0.2.1"))
        assert other.asked == [("example.com", "udp"), ("example.org", "tcp")]


async def test_long_answers_are_fetched_over_tcp():
    def long(query, _tcp):
        return answer(query, [Answer(16, bytes(900))], limit=65535)

    async with Elsewhere(long) as other, server(other.upstream) as ours:
        reply = await udp(ours.udp, question("example.com", 16))
        assert reply[2] & 2
        assert len(reply) < 512
        assert len(await udp(ours.udp, question("example.com", 16, edns=1232))) > 900
        (reply,) = await tcp(ours.tcp, question("example.com", 16))
        assert len(reply) > 900


async def test_the_next_one_is_asked_at_once_when_one_fails():
    async with pair(fails) as (bad, good), server(bad, good) as ours:
        reply = await udp(ours.udp, question("example.com"), patience=1)
        assert reply.endswith(socket.inet_aton("192.0.2.1"))


async def test_one_that_is_silent_costs_a_moment(monkeypatch):
    monkeypatch.setattr(dns_forward, "PATIENCE", 0.05)
    async with pair(silent) as (bad, good), server(bad, good) as ours:
        reply = await udp(ours.udp, question("example.com"), patience=2)
        assert reply.endswith(socket.inet_aton("192.0.2.1"))


@pytest.mark.parametrize("how", ["none", "fails", "silent", "closed"])
async def test_nobody_knows(monkeypatch, how):
    monkeypatch.setattr(dns_forward, "TIMEOUT", 0.2)
    async with contextlib.AsyncExitStack() as stack:
        upstreams = []
        if how == "closed":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("127.0.0.1", 0))
                port = sock.getsockname()[1]
            upstreams = [Upstream("127.0.0.1", on_host=True, port=port)]
        elif how != "none":
            behaviour = fails if how == "fails" else silent
            upstreams = [(await stack.enter_async_context(Elsewhere(behaviour))).upstream]
        ours = await stack.enter_async_context(server(*upstreams))
        reply = await udp(ours.udp, question("example.com"))
        assert response_code(reply) == Rcode.SERVFAIL
        (reply,) = await tcp(ours.tcp, question("example.com"))
        assert response_code(reply) == Rcode.SERVFAIL


async def refuses_twice():
    """Forward questions twice to a port without a listener."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    forwarder = Forwarder("", lambda: [Upstream("127.0.0.1", on_host=True, port=port)])
    message = question("example.com")
    try:
        for _ in range(3):
            async with asyncio.timeout(dns_forward.TIMEOUT / 4):
                assert await forwarder.ask(parse_query(message), message, tcp=False) is None
            await asyncio.sleep(0.01)  # time for the ICMP message to arrive
    finally:
        forwarder.close()


async def test_queries_of_one_container_take_no_slots_of_another():
    async with (
        Elsewhere(silent) as dead,
        Elsewhere(says("192.0.2.1")) as other,
        server(dead.upstream) as flooded,
        server(other.upstream) as quiet,
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(20):
                sock.sendto(question(f"x{number}.com"), flooded.udp)
            await asyncio.sleep(0.05)
            assert response_code(await udp(flooded.udp, question("example.com"))) == Rcode.REFUSED
            reply = await udp(quiet.udp, question("example.com"), patience=1)
            assert reply.endswith(socket.inet_aton("192.0.2.1"))
            assert (await udp(flooded.udp, question("web"))).endswith(b"\x0a\0\0\2")


async def test_a_refusing_resolver_is_noticed_each_time():
    await refuses_twice()


def test_a_refusing_resolver_is_noticed_each_time_on_uvloop():
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(refuses_twice())


async def test_forged_answers_are_passed_over():
    def forged_first(query, _tcp):
        return query_bytes(answer(query, [Answer(Rtype.A, b"\6\6\6\6")]), query.id ^ 1)

    async with pair(forged_first) as (bad, good), server(bad, good) as ours:
        reply = await udp(ours.udp, question("example.com"))
        assert reply.endswith(socket.inet_aton("192.0.2.1"))


async def test_with_ndots_a_single_word_is_not_handed_on():
    async with Elsewhere(says("192.0.2.1")) as other, server(other.upstream, dotted_only=True) as s:
        reply = await udp(s.udp, question("word"))
        assert response_code(reply) == Rcode.NOERROR
        assert reply[6:8] == b"\0\0"
        assert await udp(s.udp, question("two.words"))
        assert other.asked == [("two.words", "udp")]


async def test_nonsense_is_answered_as_such_and_harms_nothing():
    async with server() as ours:
        reply = await udp(ours.udp, struct.pack("!HHHHHH", 1, 0, 0, 0, 0, 0))
        assert response_code(reply) == Rcode.FORMERR
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for junk in (b"", b"\xff" * 5, b"\xff" * 600):
                sock.sendto(junk, ours.udp)
        _, writer = await asyncio.open_connection(*ours.tcp)
        writer.write(b"\0\5hello")
        writer.close()
        assert await udp(ours.udp, question("web"))


async def test_a_thousand_questions_at_once():
    async with server() as ours:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(ours.udp)
            loop = asyncio.get_running_loop()
            numbers = set()
            for start in range(0, 1000, 50):
                for number in range(start, start + 50):
                    sock.send(question("web", number=number))
                for _ in range(50):
                    reply = await asyncio.wait_for(loop.sock_recv(sock, 512), 5)
                    numbers.add(int.from_bytes(reply[:2], "big"))
            assert numbers == set(range(1000))
