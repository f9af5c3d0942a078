"""Clients attached to a process: they receive its output and send it input.

A process has an :class:`AttachPoint`, each of its clients an :class:`AttachSession`.  Clients
may attach before the process exists (``docker run`` attaches and only then starts): they
wait, and are connected between the creation of the process and its start, so that its
first output reaches them.

Each session has its own connection to conmon's attach socket.  A packet on it contains the
bytes of one read by conmon from the process: a byte that identifies the stream, and up to
8 KiB.  The only buffer between conmon and the client is the kernel's socket buffer: when a
client does not read, conmon stops reading from the process, as dockerd would.  Nothing is
dropped, unless the process was killed and can't end because of that client.

conmon closes stdin as soon as *any* attached client closes or half-closes its connection,
unless it was started with ``--leave-stdin-open``, as for containers that keep their stdin
open.  Where stdin is to be closed after its first user, a client without stdin must therefore
not disconnect: its connection is kept, shut down for reading, until the process has ended.
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
"""The longest packet that conmon accepts in bytes; longer ones would be truncated."""

END_TIMEOUT: Final = 10.0
"""Seconds for which the end of output waits until the exit is noted."""

_BACKLOG_RETRY: Final = 0.005
_ACCEPT_PAUSE: Final = 0.0003
_ACCEPT_LOOKS: Final = 300
_CREDENTIALS: Final = struct.Struct("iII")


class OutputSession:
    """A session that only has output: a log, or the reason why a process could not start."""

    def __init__(self, chunks: AsyncIterator[bytes], *, tty: bool) -> None:
        self.tty = tty
        self._chunks = chunks

    async def output(self) -> AsyncIterator[bytes]:
        """Yield the output."""
        async for chunk in self._chunks:
            yield chunk

    async def write(self, data: bytes) -> None:
        """Ignore input."""

    async def close_input(self) -> None:
        """Ignore input."""

    async def close(self) -> None:
        """Do nothing: no resources are held."""


class AttachPoint:
    """The clients of one process: a container's first one, or an exec.

    Args:
        tty: whether its streams are a terminal.
        stdin: whether it has a stdin to which clients may write.
        stdin_once: whether its stdin is closed when the first client that had it has ended.
    """

    def __init__(self, *, tty: bool, stdin: bool, stdin_once: bool) -> None:
        self.tty = tty
        self.stdin = stdin
        self.stdin_once = stdin_once
        self.sessions: set[AttachSession] = set()
        self._directory: Path | None = None
        self._kept: list[socket.socket] = []
        self._end_noted = asyncio.Event()

    @property
    def closes_stdin(self) -> bool:
        """Whether conmon shall close stdin; otherwise it gets ``--leave-stdin-open``."""
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
        """Attach a client, now or when the process is created.

        Args:
            stdin: whether its bytes are input, if the process reads any.
            stdout: whether it gets stdout.
            stderr: whether it gets stderr, which a terminal does not have.
            detach_keys: bytes by which it detaches, on a terminal only (as in dockerd).
            replay: output to send first.
            live: whether live output follows; otherwise the replay contains all output, and
                ends with the process.
            detached: is called if the client detaches by those keys.
            raw: whether it gets bytes instead of frames; None for bytes on a terminal only.
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
            session.process_ended()
        elif self._directory is not None:
            try:
                session.connected(await _connect(self._directory))
            except (FileNotFoundError, ConnectionRefusedError):  # it has just ended
                session.process_ended()
        return session

    async def opened(self, directory: Path) -> None:
        """Connect the waiting clients: the process was created, and may then be started.

        Args:
            directory: the directory with conmon's attach socket.

        Raises:
            OSError: conmon does not answer.
        """
        self._end_noted.clear()
        self._directory = directory
        waiting = [session for session in self.sessions if session.waiting]
        connections = []
        for session in waiting:
            connection = await _connect(directory)
            connections.append(connection)
            session.connected(connection)
        if len(connections) > 1:
            with contextlib.suppress(OSError):  # conmon has ended, or its /proc can't be read
                await _accepted(connections)

    def ended(self) -> None:
        """End all sessions: the process has ended or could not be started, and that was noted."""
        self._directory = None
        self._end_noted.set()
        for session in list(self.sessions):
            session.process_ended()
        for connection in self._kept:
            connection.close()
        self._kept.clear()

    def drop(self) -> None:
        """Disconnect all clients, so that those which do not read no longer block conmon."""
        for session in list(self.sessions):
            session.drop()
        for connection in self._kept:
            connection.close()
        self._kept.clear()

    async def wait_for_end(self) -> None:
        """Wait until the end was noted, so that a client can inspect it after the last output."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT):
                await self._end_noted.wait()

    def release(self, session: "AttachSession", connection: socket.socket | None) -> None:
        """Remove a session that has ended, and close its connection or keep it."""
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
                except BlockingIOError:  # conmon's backlog of ten is full
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

    In each iteration of its loop conmon accepts one client, and then passes on output.  A
    single client therefore misses nothing, but a second one might miss the first output.
    The number of accepted clients follows from conmon's sockets, which are one more.
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
    """Return the number of sockets that a process has open."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(link.readlink()).startswith("socket:")
    return count


class AttachSession:
    """One client of one process; a :class:`palan.api.results.Session`.

    Attributes:
        tty: whether output is bytes instead of frames.
        stdin: whether the client's bytes are input.
        detached: whether the client has pressed the keys to detach.
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

    # ---- called by the point ----------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether it still waits for a connection."""
        return not self._ready.is_set()

    def connected(self, connection: socket.socket) -> None:
        """Take the connection to a process that was created."""
        if self._over.is_set():
            self._point.release(self, connection)
            return
        if not self._live:
            connection.shutdown(socket.SHUT_RD)  # conmon stops sending output
        self._connection = connection
        self._ready.set()

    def process_ended(self) -> None:
        """End a session that has no connection: the process has ended."""
        if self._connection is None and self._live:
            self._end()
        else:
            self._ready.set()  # its replay may not be complete yet

    def drop(self) -> None:
        """Close the connection, even if the client has not read all output."""
        if not self._live:
            return  # it receives nothing from conmon
        self._end()
        if (connection := self._disconnect()) is not None:
            connection.close()

    # ---- Session ----------------------------------------------------------------

    async def output(self) -> AsyncIterator[bytes]:
        """Yield output as it arrives, in large pieces: bytes with a TTY, otherwise frames."""
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
                    await self._point.wait_for_end()
                    return
                else:
                    await self._wait_for_output(connection)
        finally:
            self._stop_listening(connection)

    async def write(self, data: bytes) -> None:
        """Pass input to the process; waits while the process does not read."""
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
        """Note that the client has no more input.

        The process sees the end of its stdin if that is closed after its first user.
        Otherwise the session ends, as with dockerd.
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
        """Remove the connection from the event loop and the session, and return it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._stop_listening(connection)
            self._loop.remove_writer(connection)
        return connection

    async def _replayed(self, replay: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the replay; if no live output follows, only until the client detaches."""
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
                        await self._point.wait_for_end()
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
        """Receive the available packets, also while the previous ones are being sent."""
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
        """Send a packet; return whether the process can still receive more."""
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
