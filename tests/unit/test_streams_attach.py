"""Attach sessions, against a socket that behaves like conmon's."""

import asyncio
import socket

import pytest
from tests.support.conmon import FakeConmon

from palan.api.frames import FrameDecoder
from palan.api.results import Session
from palan.engine.streams import AttachPoint, OutputSession
from palan.engine.streams.packets import PacketBatch


@pytest.fixture
def conmon(tmp_path):
    made = FakeConmon(tmp_path)
    yield made
    made.close()


def point(*, tty=False, stdin=True, stdin_once=True):
    return AttachPoint(tty=tty, stdin=stdin, stdin_once=stdin_once)


async def collect(session):
    async with asyncio.timeout(2):
        return b"".join([chunk async for chunk in session.output()])


def finish(there, conmon):
    for client in conmon.clients:
        client.close()
    there.ended()


async def test_client_that_was_there_before(conmon):
    there = point()
    session = await there.attach(stdin=True, stdout=True, stderr=True)
    assert session.waiting
    output = asyncio.ensure_future(collect(session))
    writing = asyncio.ensure_future(session.write(b"early"))
    await asyncio.sleep(0)
    assert not writing.done()
    await there.opened(conmon.directory)
    client = conmon.accept()
    await writing
    assert client.recv(100) == b"early"
    client.send(b"\x02out")
    client.send(b"\x03err")
    finish(there, conmon)
    assert list(FrameDecoder().feed(await output)) == [(1, b"out"), (2, b"err")]
    await session.close()
    await session.close()
    assert not there.sessions


async def test_selected_streams_and_terminal(conmon):
    there = point(tty=True)
    await there.opened(conmon.directory)
    raw = await there.attach(stdout=True)
    none = await there.attach(stderr=True)
    for client in (conmon.accept(), conmon.accept()):
        for text in (b"one", b"", b"two", b"x" * 8192, b"three"):
            client.send(b"\x02" + text)
    finish(there, conmon)
    assert await collect(raw) == b"onetwo" + b"x" * 8192 + b"three"
    assert await collect(none) == b""
    await raw.close()
    await none.close()


async def test_end_waits_until_it_was_noted(conmon):
    there = point()
    await there.opened(conmon.directory)
    session = await there.attach(stdout=True)
    conmon.accept().close()
    output = asyncio.ensure_future(collect(session))
    await asyncio.sleep(0.01)
    assert not output.done()
    there.ended()
    assert await output == b""
    await session.close()


async def test_process_that_never_came():
    there = point()
    session = await there.attach(stdin=True, stdout=True)
    output = asyncio.ensure_future(collect(session))
    writing = asyncio.ensure_future(session.write(b"x"))
    await asyncio.sleep(0)
    there.ended()
    assert await output == b""
    await writing
    await session.close_input()
    await session.close()


async def test_process_that_has_just_ended(tmp_path):
    there = point()
    await there.opened(tmp_path)
    session = await there.attach(stdout=True)
    assert await collect(session) == b""
    await session.close()


async def test_attach_with_nothing(conmon):
    there = point(stdin=False)
    await there.opened(conmon.directory)
    session = await there.attach(stdin=True)
    assert await collect(session) == b""
    await session.write(b"ignored")
    await session.close_input()
    await session.close()


async def test_large_input_is_cut_and_half_closed(conmon):
    there = point()
    await there.opened(conmon.directory)
    session = await there.attach(stdin=True, stdout=True)
    client = conmon.accept()
    data = bytes(range(256)) * 2000
    writing = asyncio.ensure_future(session.write(data))
    await asyncio.sleep(0.01)
    assert not writing.done()  # nobody reads
    found: list[bytes] = []
    while sum(map(len, found)) < len(data):
        found.append(await asyncio.to_thread(client.recv, 100_000))
    assert b"".join(found) == data
    assert max(map(len, found)) == 32768
    await writing
    await session.close_input()
    assert client.recv(10) == b""
    client.send(b"\x02still")
    finish(there, conmon)
    assert (await collect(session))[8:] == b"still"
    await session.close()


@pytest.mark.parametrize("options", [{"stdin_once": False}, {"tty": True}])
async def test_no_more_input_ends_the_session_where_stdin_stays_open(conmon, options):
    there = point(**options)
    assert not there.closes_stdin
    await there.opened(conmon.directory)
    session = await there.attach(stdin=True, stdout=True)
    client = conmon.accept()
    output = asyncio.ensure_future(collect(session))
    await asyncio.sleep(0.01)
    await session.close_input()
    assert await output == b""
    await session.close()
    assert client.recv(10) == b""


async def test_onlooker_does_not_close_stdin(conmon):
    there = point()
    await there.opened(conmon.directory)
    session = await there.attach(stdout=True)
    client = conmon.accept()
    await session.close()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(10)
    with pytest.raises(BrokenPipeError):
        client.send(b"\x02x")
    client.setblocking(True)
    there.ended()
    assert client.recv(10) == b""


async def test_detach_keys(conmon):
    there = point(tty=True)
    await there.opened(conmon.directory)
    events = []
    session = await there.attach(
        stdin=True, stdout=True, detach_keys=b"\x10\x11", detached=lambda: events.append("detach")
    )
    client = conmon.accept()
    output = asyncio.ensure_future(collect(session))
    await session.write(b"ls\x10")
    await session.write(b"\x11rm")
    await session.write(b"rf")
    assert await output == b""
    assert session.detached
    assert events == ["detach"]
    assert client.recv(10) == b"ls"
    await session.close()


async def test_keys_are_for_terminals(conmon):
    there = point()
    await there.opened(conmon.directory)
    session = await there.attach(stdin=True, detach_keys=b"\x10\x11")
    client = conmon.accept()
    await session.write(b"\x10\x11")
    assert client.recv(10) == b"\x10\x11"
    await session.close()


async def test_replay_comes_first(conmon):
    async def replay():
        yield b"before "

    there = point(tty=True)
    await there.opened(conmon.directory)
    session = await there.attach(stdout=True, replay=replay())
    conmon.accept().send(b"\x02after")
    finish(there, conmon)
    assert await collect(session) == b"before after"
    await session.close()
    only = OutputSession(replay(), tty=False)
    assert isinstance(only, Session)
    assert isinstance(session, Session)
    assert await collect(only) == b"before "
    await only.write(b"x")
    await only.close_input()
    await only.close()


async def test_close_while_others_wait(conmon):
    there = point()
    await there.opened(conmon.directory)
    session = await there.attach(stdin=True, stdout=True)
    conmon.accept()
    output = asyncio.ensure_future(collect(session))
    writing = asyncio.ensure_future(session.write(b"x" * 10**6))
    await asyncio.sleep(0.01)
    await session.close()
    assert await output == b""
    async with asyncio.timeout(1):
        await writing


async def test_reset_is_an_end(tmp_path):
    conmon = FakeConmon(tmp_path)
    there = point()
    await there.opened(tmp_path)
    session = await there.attach(stdout=True)
    conmon.close()  # without accepting, as when the process could not be made
    there.ended()
    assert await collect(session) == b""
    await session.close()


def test_batches_are_bounded():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        batch = PacketBatch([1], tty=False)
        sent = received = 0
        packet = b"\x02" + b"z" * 8192
        for _ in range(20):
            try:
                while True:
                    theirs.send(packet)
                    sent += 1
            except BlockingIOError:
                pass
            assert batch.receive(ours)
            data = batch.take()
            assert 0 < len(data) <= 256 * 1024 + 8200
            found = list(FrameDecoder().feed(data))
            assert max(len(text) for _, text in found) == 32 * 1024
            received += sum(len(text) for _, text in found)
        assert received == sent * 8192
        assert batch.take() == b""


@pytest.mark.parametrize("wanted", [[1, 2], [1], [2]])
def test_packets_of_one_stream_become_one_frame(wanted):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        batch = PacketBatch(wanted, tty=False)
        for packet in (b"\x02a", b"\x02", b"\x02b", b"\x03c", b"\x02d", b"\x02e", b"\x04f"):
            theirs.send(packet)
        assert batch.receive(ours)
        found = list(FrameDecoder().feed(batch.take()))
        assert (
            found
            == {
                (1, 2): [(1, b"ab"), (2, b"c"), (1, b"de")],
                (1,): [(1, b"abde")],
                (2,): [(2, b"c")],
            }[tuple(wanted)]
        )
        theirs.send(b"\x02again")
        theirs.close()
        assert not batch.receive(ours)
        assert batch.take()[8:] == (b"again" if 1 in wanted else b"")


@pytest.mark.parametrize("tty", [False, True])
def test_output_is_complete_although_input_was_not_read(tty):
    """The kernel reports the unread input before the output that is still queued."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        ours.send(b"never read")
        theirs.send(b"\x02first ")
        theirs.send(b"\x02last")
        theirs.close()
        batch = PacketBatch([1], tty=tty)
        assert not batch.receive(ours)
        data = batch.take()
        assert (data if tty else data[8:]) == b"first last"
