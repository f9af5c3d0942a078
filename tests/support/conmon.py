"""A socket that behaves like conmon's attach socket."""

import os
import socket
from pathlib import Path


class FakeConmon:
    """Listens in a directory; a test accepts the clients and sends packets to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The path itself may be longer than an address.
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        self.listener.bind(f"/proc/self/fd/{parent}/attach")
        os.close(parent)
        self.listener.listen(10)
        self.clients: list[socket.socket] = []

    def accept(self) -> socket.socket:
        """Accept a client that has connected."""
        client, _ = self.listener.accept()
        client.settimeout(1)
        self.clients.append(client)
        return client

    def close(self) -> None:
        """Close all connections, as when the process has ended."""
        for client in self.clients:
            client.close()
        self.listener.close()
        (self.directory / "attach").unlink(missing_ok=True)
