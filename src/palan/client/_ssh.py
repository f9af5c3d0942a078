"""Connections through ssh: the system's ``ssh`` runs ``docker system dial-stdio`` remotely.

So ``~/.ssh/config``, agents and jump hosts have their usual effect. The program's standard
input and output are one end of a socket pair; the client uses the other end like any socket.
The first connection logs in; later ones share it (``ControlMaster``), which needs no login and
a tenth of the time.
"""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Final

from palan.client._address import Address
from palan.client.errors import ConnectFailed


__all__ = ["Tunnel", "Tunnels"]

_STOP_SECONDS: Final = 5.0
"""The time that ssh has to end before it is killed."""

_IDLE_SECONDS: Final = 60
"""The time after its last use until the shared connection ends, if the client is not closed."""

_DIAL_DEFAULT_SOCKET: Final = (
    "if command -v docker >/dev/null 2>&1; then exec docker system dial-stdio; "
    "else exec palan system dial-stdio; fi"
)


class Tunnel:
    """One connection through ssh: a socket and the ``ssh`` process at its other end."""

    def __init__(
        self, near: socket.socket, process: subprocess.Popen[bytes], log: IO[bytes]
    ) -> None:
        self.socket = near
        self._process = process
        self._log = log

    def error_output(self) -> str:
        """Return the error output of ssh and of the remote program; may block for a second."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        with contextlib.suppress(OSError, ValueError):
            self._log.seek(0)
            lines = self._log.read(4096).decode("utf-8", "replace").splitlines()
            return " ".join(line.strip() for line in lines if line.strip())
        return ""

    def close(self) -> None:
        """Close the socket and end the process; block until it has ended."""
        self.socket.close()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class Tunnels:
    """The connections of one client to one host through ssh."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._directory: str | None = None
        self._process = os.getpid()

    def open(self) -> Tunnel:
        """Open another connection; block while the process is started.

        Raises:
            ConnectFailed: ``ssh`` cannot be started.
        """
        if self._process != os.getpid():
            # After a fork, the login is the parent's.
            self._process, self._directory = os.getpid(), None
        if self._directory is None:
            # A short path, as the path of a socket is limited to about 100 bytes.
            self._directory = tempfile.mkdtemp(prefix="palan-ssh-")
        near, far = socket.socketpair()
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the tunnel
        try:
            process = subprocess.Popen(
                [*self._command(), "--", self._address.host, self._remote_command()],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            near.close()
            log.close()
            raise ConnectFailed(f"ssh cannot be started: {error.strerror}") from None
        finally:
            far.close()
        return Tunnel(near, process, log)

    def close(self) -> None:
        """End the shared login; all connections must have been closed."""
        if self._directory is None or self._process != os.getpid():
            return
        if Path(self._directory, "master").exists():
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [*self._command(), "-O", "exit", "--", self._address.host],
                    check=False,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_STOP_SECONDS,
                )
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None

    def _command(self) -> list[str]:
        command = ["ssh", "-T", "-o", "ConnectTimeout=30", "-o", "BatchMode=no"]
        command += ["-o", "ControlMaster=auto", "-o", f"ControlPath={self._directory}/master"]
        command += ["-o", f"ControlPersist={_IDLE_SECONDS}"]
        if self._address.user:
            command += ["-l", self._address.user]
        if self._address.port:
            command += ["-p", str(self._address.port)]
        return command

    def _remote_command(self) -> str:
        if self._address.path:
            host = shlex.quote(f"unix://{self._address.path}")
            script = (
                "if command -v docker >/dev/null 2>&1; "
                f"then exec docker --host {host} system dial-stdio; "
                f"else exec palan --host {host} system dial-stdio; fi"
            )
        else:
            script = _DIAL_DEFAULT_SOCKET
        return f"sh -c {shlex.quote(script)}"
