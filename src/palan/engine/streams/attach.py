"""Clients attached to a process: its output as it comes, their input to it.

A process has an :class:`AttachPoint`, a client on it an :class:`AttachSession`.  Clients
may come before the process is there (``docker run`` attaches and only then starts): they
wait, and are connected between the creation of the process and its start, so that its
first output reaches them.

Each session has a connection of its own to conmon's attach socket, on which a packet is
a read of conmon's from the process: a byte that names the stream, and up to 8 KiB.  The
kernel's socket buffer is all that is between conmon and the client: when a client does
not read, conmon stops reading from the process, as dockerd would.  Nothing is dropped,
unless the process was killed and does not go because of that client.

Stdin is conmon's to close, and it does so as soon as *any* attached client closes or
half-closes its connection, unless it was told never to (``--leave-stdin-open``, what a
container that keeps its stdin open has).  With stdin to be closed after its first user,
a client that only looks on must therefore not disconnect: what is left of its connection
is kept, shut down for reading, until the process has ended.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Final

from palan.api.detach_keys import DetachKeys
from palan.api.frames import STDERR, STDOUT
from palan.engine.streams.packets import PacketBatch


__all__ = ["AttachPoint", "AttachSession", "OutputSession"]

PACKET: Final = 32 * 1024
"""The most that conmon takes of a packet; what is longer would be cut off."""

SETTLE_TIMEOUT: Final = 10.0
"""How long, in seconds, the end of output may wait for the exit to be noted."""

_BACKLOG_RETRY: Final = 0.005
_ACCEPT_PAUSE: Final = 0.0003
_ACCEPT_LOOKS: Final = 300
_CREDENTIALS: Final = struct.Struct("iII")


class OutputSession:
    """A session that only shows something: a log, or why a process could not start."""

    def __init__(self, chunks: AsyncIterator[bytes], *, tty: bool) -> None:
        self.tty = tty
        self._chunks = chunks

    async def output(self) -> AsyncIterator[bytes]:
        """What there is to show."""
        async for chunk in self._chunks:
            yield chunk

    async def write(self, data: bytes) -> None:
        """Nobody reads input."""

    async def close_input(self) -> None:
        """Nobody reads input."""

    async def close(self) -> None:
        """Nothing is held."""


class AttachPoint:
    """Where clients attach to one process: a container's, or an exec's.

    Args:
        tty: its streams are a terminal.
        stdin: it has a stdin that clients may write to.
        stdin_once: its stdin is closed when the first client that had it is done.
    """

    def __init__(self, *, tty: bool, stdin: bool, stdin_once: bool) -> None:
        self.tty = tty
        self.stdin = stdin
        self.stdin_once = stdin_once
        self.sessions: set[AttachSession] = set()
        self._directory: Path | None = None
        self._kept: list[socket.socket] = []
        self._settled = asyncio.Event()

    @property
    def closes_stdin(self) -> bool:
        """Whether conmon is to close stdin; else it gets ``--leave-stdin-open``."""
        return self.stdin and self.stdin_once and not self.tty

    async def attach(
        self,
        *,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        detach_keys: bytes = b"",
        replay: AsyncIterator[bytes] | None = None,
        live: bool = True,
        detached: Callable[[], None] | None = None,
        raw: bool | None = None,
    ) -> "AttachSession":
        """Attach a client, now or when the process is there.

        Args:
            stdin: what it sends is input, if the process takes any.
            stdout: it gets stdout.
            stderr: it gets stderr; a terminal has none.
            detach_keys: bytes that detach, looked for on a terminal only (as in dockerd).
            replay: is sent first.
            live: output follows; otherwise the replay has it, and ends with the process.
            detached: is called if the client detaches by those keys.
            raw: it gets bytes instead of frames; by default if the process has a terminal.
        """
        session = AttachSession(
            self,
            stdin=stdin and self.stdin,
            streams=[name for name, on in ((STDOUT, stdout), (STDERR, stderr)) if on],
            keys=DetachKeys(detach_keys if self.tty else b""),
            replay=replay,
            live=live,
            detached=detached,
            raw=self.tty if raw is None else raw,
        )
        self.sessions.add(session)
        if not (session.stdin or (live and (stdout or stderr))):
            session.give_up()
        elif self._directory is not None:
            try:
                session.connected(await _connect(self._directory))
            except (FileNotFoundError, ConnectionRefusedError):  # it has just ended
                session.give_up()
        return session

    async def opened(self, directory: Path) -> None:
        """The process was created: connect the clients that wait.  Then it may be started.

        Args:
            directory: where conmon has its attach socket.

        Raises:
            OSError: conmon does not answer.
        """
        self._settled.clear()
        self._directory = directory
        waiting = [session for session in self.sessions if session.waiting]
        connections = []
        for session in waiting:
            connection = await _connect(directory)
            connections.append(connection)
            session.connected(connection)
        if len(connections) > 1:
            with contextlib.suppress(OSError):  # conmon has gone, or is not for us to look at
                await _accepted(connections)

    def ended(self) -> None:
        """The process has ended (or could not be started) and that was noted."""
        self._directory = None
        self._settled.set()
        for session in list(self.sessions):
            session.give_up()
        for connection in self._kept:
            connection.close()
        self._kept.clear()

    def drop(self) -> None:
        """Hang up on all clients: conmon is to go on although some of them do not read."""
        for session in list(self.sessions):
            session.drop()
        for connection in self._kept:
            connection.close()
        self._kept.clear()

    async def settled(self) -> None:
        """Wait until the end was noted, so that who sees the output end may ask for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_TIMEOUT):
                await self._settled.wait()

    def release(self, session: "AttachSession", connection: socket.socket | None) -> None:
        """A session is over."""
        self.sessions.discard(session)
        if connection is None:
            return
        if self.closes_stdin and not session.stdin and self._directory is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
            self._kept.append(connection)
        else:
            connection.close()


async def _connect(directory: Path) -> socket.socket:
    """Connect to the attach socket in a directory, however long its path."""
    connection = socket.socket(
        socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    )
    try:
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            while True:
                try:
                    connection.connect(f"/proc/self/fd/{parent}/attach")
                except BlockingIOError:  # conmon lets ten clients wait for being accepted
                    await asyncio.sleep(_BACKLOG_RETRY)
                else:
                    return connection
        finally:
            os.close(parent)
    except BaseException:
        connection.close()
        raise


async def _accepted(connections: list[socket.socket]) -> None:
    """Wait until conmon has accepted the first clients of a process.

    It accepts one in a turn of its loop, and passes on output in the same turn, after
    that.  So nothing need be done for a single client, but a second one might miss the
    first output.  What conmon has accepted is seen from its sockets: one more than that.
    """
    credentials = connections[0].getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
    )
    monitor, _, _ = _CREDENTIALS.unpack(credentials)
    for _ in range(_ACCEPT_LOOKS):
        if _sockets(monitor) > len(connections):
            return
        await asyncio.sleep(_ACCEPT_PAUSE)


def _sockets(pid: int) -> int:
    """How many sockets a process has."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(link.readlink()).startswith("socket:")
    return count


class AttachSession:
    """One client on one process; a :class:`palan.api.results.Session`.

    Attributes:
        tty: output is raw.
        stdin: what the client sends is input.
        detached: the client has pressed the keys to detach.
    """

    def __init__(
        self,
        point: AttachPoint,
        *,
        stdin: bool,
        streams: list[int],
        keys: DetachKeys,
        replay: AsyncIterator[bytes] | None,
        live: bool,
        detached: Callable[[], None] | None,
        raw: bool,
    ) -> None:
        self.tty = raw
        self.stdin = stdin
        self.detached = False
        self._point = point
        self._batch = PacketBatch(streams, tty=raw)
        self._keys = keys
        self._replay = replay
        self._live = live
        self._on_detach = detached
        self._loop = asyncio.get_running_loop()
        self._connection: socket.socket | None = None
        self._ready = asyncio.Event()
        self._over = asyncio.Event()
        self._readable: asyncio.Future[None] | None = None
        self._listening = False
        self._at_end = False

    # ---- what the point tells ---------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether it has no connection yet and still wants one."""
        return not self._ready.is_set()

    def connected(self, connection: socket.socket) -> None:
        """The process is there."""
        if self._over.is_set():
            self._point.release(self, connection)
            return
        if not self._live:
            connection.shutdown(socket.SHUT_RD)  # conmon stops sending output
        self._connection = connection
        self._ready.set()

    def give_up(self) -> None:
        """The process has ended; a session without a connection has nothing to wait for."""
        if self._connection is None and self._live:
            self._end()
        else:
            self._ready.set()  # what it replays may still be on its way

    def drop(self) -> None:
        """Close the connection, whatever the client has not read yet."""
        if not self._live:
            return  # it takes nothing from conmon
        self._end()
        if (connection := self._disconnect()) is not None:
            connection.close()

    # ---- Session ----------------------------------------------------------------

    async def output(self) -> AsyncIterator[bytes]:
        """Output as it comes: raw with a TTY, else frames, joined to large pieces."""
        if self._replay is not None:
            async with contextlib.aclosing(self._replayed(self._replay)) as replayed:
                async for chunk in replayed:
                    yield chunk
        if not self._live:
            return
        await self._ready.wait()
        connection, over = self._connection, self._over
        if connection is None:
            return
        self._receive(connection)
        try:
            while not over.is_set():
                if chunk := self._batch.take():
                    if not (self._listening or self._at_end):
                        self._listen(connection)
                    yield chunk
                elif self._at_end:
                    await self._point.settled()
                    return
                else:
                    await self._wait_for_output(connection)
        finally:
            self._stop_listening(connection)

    async def write(self, data: bytes) -> None:
        """Hand input to the process; waits when the process does not read."""
        if not self.stdin:
            return
        data = self._keys.feed(data)
        await self._ready.wait()
        for start in range(0, len(data), PACKET):
            if not await self._send(data[start : start + PACKET]):
                return
        if self._keys.pressed and not self.detached:
            self.detached = True
            if self._on_detach is not None:
                self._on_detach()
            self._end()

    async def close_input(self) -> None:
        """The client has no more input.

        The process learns of it if its stdin is closed after its first user.  Otherwise
        the session is over, as with dockerd: that client can do nothing more for it.
        """
        if not self.stdin:
            return
        await self._ready.wait()
        if not self._point.closes_stdin:
            self._end()
        elif self._connection is not None and not self._over.is_set():
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        """Detach; idempotent."""
        self._end()
        self._point.release(self, self._disconnect())

    # ---- inside -----------------------------------------------------------------

    def _disconnect(self) -> socket.socket | None:
        """Let go of the connection; returns it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._stop_listening(connection)
            self._loop.remove_writer(connection)
        return connection

    async def _replayed(self, replay: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """What there is to replay; if nothing follows, until the client detaches."""
        over = asyncio.ensure_future(self._over.wait())
        chunk: asyncio.Future[bytes] | None = None
        wanted = {over} if not self._live else set()
        try:
            while True:
                chunk = asyncio.ensure_future(anext(replay, b""))
                await asyncio.wait({chunk, *wanted}, return_when=asyncio.FIRST_COMPLETED)
                if not chunk.done():
                    return
                if not (data := chunk.result()):
                    if not self._live:
                        await self._point.settled()
                    return
                yield data
        finally:
            over.cancel()
            if chunk is not None:
                chunk.cancel()

    def _end(self) -> None:
        self._over.set()
        self._ready.set()
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _receive(self, connection: socket.socket) -> None:
        """Take in what there is: while the client is being sent the last of it, too."""
        self._at_end = not self._batch.receive(connection)
        if self._at_end or self._batch.full:
            self._stop_listening(connection)
        if self._readable is not None:
            _resolve(self._readable)

    async def _wait_for_output(self, connection: socket.socket) -> None:
        if not self._listening:
            self._listen(connection)
        self._readable = self._loop.create_future()
        try:
            await self._readable
        finally:
            self._readable = None

    def _listen(self, connection: socket.socket) -> None:
        self._listening = True
        self._loop.add_reader(connection, self._receive, connection)

    def _stop_listening(self, connection: socket.socket) -> None:
        if self._listening and connection.fileno() >= 0:
            self._loop.remove_reader(connection)
        self._listening = False

    async def _send(self, packet: bytes) -> bool:
        """Send a packet; whether there is still somebody to send to."""
        while not self._over.is_set() and self._connection is not None:
            connection = self._connection
            try:
                connection.send(packet)
            except BlockingIOError:
                writable = self._loop.create_future()
                self._loop.add_writer(connection, _resolve, writable)
                over = asyncio.ensure_future(self._over.wait())
                try:
                    await asyncio.wait((writable, over), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    over.cancel()
                    if connection.fileno() >= 0:
                        self._loop.remove_writer(connection)
            except OSError:  # the process has ended
                return False
            else:
                return True
        return False


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
