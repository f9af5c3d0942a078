import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from palan.engine.networks.proxy import StreamProxy
from palan.engine.networks.proxy_limits import Budget
from palan.engine.networks.proxy_udp import DatagramProxy


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def proxied(
    handle: Handler, budget: Budget | None = None
) -> AsyncIterator[tuple[int, StreamProxy]]:
    """Run a proxy in front of a server, and yield its port."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    proxy = StreamProxy(
        listener, ("127.0.0.1", server.sockets[0].getsockname()[1]), budget or Budget(1000)
    )
    try:
        yield port, proxy
    finally:
        proxy.close()
        server.close()
        await asyncio.sleep(0.01)


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection, as the kernel does when a process is killed."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.write(b"end")
    writer.close()


async def test_both_directions_and_the_half_close():
    async with proxied(echo) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for word in (b"one", b"two"):
            writer.write(word)
            assert await reader.readexactly(3) == word
        writer.write_eof()
        assert await reader.read() == b"end"
        writer.close()


async def test_a_server_that_closes_first_leaves_the_client_its_say():
    heard = asyncio.get_running_loop().create_future()

    async def talk_and_listen(reader, writer):
        writer.write(b"go on")
        writer.write_eof()
        heard.set_result(await reader.read())
        writer.close()

    async with proxied(talk_and_listen) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b"go on"
        writer.write(b"still here")
        writer.write_eof()
        assert await asyncio.wait_for(heard, 5) == b"still here"
        writer.close()


async def test_much_data_arrives_whole_and_in_order():
    data = bytes(range(256)) * 16_384

    async with proxied(echo) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send():
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        _, received = await asyncio.gather(send(), reader.read(-1))
        assert received == data + b"end"
        writer.close()


async def test_a_port_without_a_listener_is_reset():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # not listening
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        proxy = StreamProxy(listener, ("127.0.0.1", unused.getsockname()[1]), Budget(10))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        proxy.close()
        await asyncio.sleep(0.01)


async def test_a_client_that_breaks_off_is_passed_on():
    ended = asyncio.get_running_loop().create_future()

    async def wait_for_more(reader, writer):
        try:
            while await reader.read(100):
                pass
        except ConnectionResetError:
            pass
        ended.set_result(True)
        writer.close()

    async with proxied(wait_for_more) as (port, proxy):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)
        reset(writer)
        assert await asyncio.wait_for(ended, 5)
        await asyncio.sleep(0.02)
        assert not proxy._connections


async def test_a_server_that_breaks_off_is_passed_on():
    async def break_off(reader, writer):
        await reader.read(1)
        reset(writer)

    async with proxied(break_off) as (port, proxy):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await asyncio.sleep(0.02)
        assert not proxy._connections


async def test_closing_ends_what_is_being_carried():
    async with proxied(echo) as (port, proxy):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"one")
        await reader.readexactly(3)
        proxy.close()
        proxy.close()
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        with pytest.raises(OSError, match=r"refused|Connect"):
            await asyncio.open_connection("127.0.0.1", port)


async def test_many_connections_at_once():
    async with proxied(echo) as (port, proxy):

        async def one(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"%d" % number)
            writer.write_eof()
            assert await reader.read() == b"%dend" % number
            writer.close()

        await asyncio.gather(*(one(number) for number in range(50)))
        await asyncio.sleep(0.05)
        assert not proxy._connections


# ---- limits -------------------------------------------------------------------------


class Clients:
    """Clients of servers behind proxies; all are closed at the end."""

    def __init__(self) -> None:
        self._opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self, port: int) -> int:
        """Open a connection and return its number."""
        with contextlib.suppress(ConnectionError):
            self._opened.append(await asyncio.open_connection("127.0.0.1", port))
            return len(self._opened) - 1
        return -1

    async def works(self, number: int) -> bool:
        """Whether a connection is forwarded: the server echoes what it receives."""
        if number < 0:
            return False
        reader, writer = self._opened[number]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(b"x")
            return await asyncio.wait_for(reader.readexactly(1), 5) == b"x"
        return False

    async def flood(self, port: int, count: int) -> list[bool]:
        """Open connections one after the other; return which of them work."""
        return [await self.works(await self.connect(port)) for _ in range(count)]

    def close(self, number: int) -> None:
        self._opened[number][1].transport.abort()

    def close_all(self) -> None:
        for number in range(len(self._opened)):
            self.close(number)


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    made = Clients()
    yield made
    made.close_all()
    await asyncio.sleep(0.01)


async def test_the_longest_silent_connection_makes_room_for_a_new_one(clients):
    budget = Budget(12, patience=0)  # three connections of a port
    async with proxied(echo, budget) as (port, _):
        assert await clients.flood(port, 3) == [True, True, True]
        assert await clients.works(0)
        assert await clients.flood(port, 1) == [True]
        assert budget.used == 6
        assert [await clients.works(n) for n in range(4)] == [True, False, True, True]
    assert budget.used == 0


async def test_connections_that_are_in_use_are_kept_and_new_ones_are_reset(clients):
    budget = Budget(12, patience=60)
    async with proxied(echo, budget) as (port, _):
        assert await clients.flood(port, 4) == [True, True, True, False]
        clients.close(0)
        await asyncio.sleep(0.05)
        assert await clients.flood(port, 1) == [True]


async def test_a_flooded_port_gives_room_to_other_ports(clients):
    budget = Budget(12, patience=60)
    async with proxied(echo, budget) as (one, _), proxied(echo, budget) as (two, _):
        for port in (one, two):
            assert await clients.flood(port, 3) == [True, True, True]
        assert budget.used == 12
        async with proxied(echo, budget) as (three, _):
            assert await clients.flood(three, 3) == [True, True, False]
            assert budget.used == 12
    assert budget.used == 0


async def test_a_displaced_client_that_does_not_read_holds_no_descriptor(clients):
    async def pour(_reader, writer):
        with contextlib.suppress(ConnectionError, TimeoutError):
            while True:
                writer.write(bytes(1 << 20))
                await asyncio.wait_for(writer.drain(), 0.2)
        writer.transport.abort()

    budget = Budget(4, patience=0)
    async with proxied(pour, budget) as (port, proxy):
        await clients.connect(port)
        await asyncio.sleep(0.1)
        (connection,) = proxy._connections
        assert proxy.close_longest_silent(0)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(connection.task, 5)
        assert budget.used == 0


async def test_clients_of_datagrams_count_and_are_replaced_in_the_order_of_silence():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        DatagramProxy.prepare(listener)
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        server.settimeout(5)
        budget = Budget(6, patience=0)
        proxy = DatagramProxy(listener, server.getsockname(), budget)
        with contextlib.ExitStack() as opened:
            clients = []
            for _ in range(4):
                client = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                client.connect(listener.getsockname())
                clients.append(client)
            sources = []
            for client in (*clients[:3], clients[0], clients[3], clients[0], clients[1]):
                client.send(b"x")
                await asyncio.sleep(0.02)
                sources.append(server.recvfrom(10)[1])
            assert budget.used == 3
            assert sources[0] == sources[3] == sources[5]  # it was never the longest silent one
            assert sources[1] != sources[6]
        proxy.close()
        assert budget.used == 0
