import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from palan.engine.networks.proxy import StreamProxy


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def proxied(handle: Handler) -> AsyncIterator[tuple[int, StreamProxy]]:
    """Run a proxy in front of a server, and yield its port."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    proxy = StreamProxy(listener, ("127.0.0.1", server.sockets[0].getsockname()[1]))
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
        proxy = StreamProxy(listener, ("127.0.0.1", unused.getsockname()[1]))
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
