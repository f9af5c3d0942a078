"""``palan system dial-stdio``: connect stdin and stdout to the engine's socket.

Clients run it through ssh, as they run ``docker system dial-stdio``.
"""

import contextlib
import os
import sys
import threading

from palan.cli.verbs.verb import Arguments
from palan.client import Client
from palan.client._sync.io import Stream
from palan.client._sync.tls import TLSStream
from palan.client.errors import ClientError


__all__ = ["dial_stdio"]

_CHUNK = 1 << 16


def dial_stdio(engine: Arguments) -> int:
    """Carry bytes both ways until the engine ends the connection."""
    try:
        with Client(engine.host, context=engine.context) as client:
            stream = client.dial()
            threading.Thread(target=_send_stdin, args=(stream,), daemon=True).start()
            while data := stream.read(None):
                _write_stdout(data)
    except BrokenPipeError:
        return 0
    except ClientError as error:
        print(f"palan system dial-stdio: {error}", file=sys.stderr)
        return 1
    return 0


def _send_stdin(stream: Stream | TLSStream) -> None:
    with contextlib.suppress(ClientError, OSError):
        while data := os.read(0, _CHUNK):
            stream.write(data, None, gather=False)
        stream.write_eof()


def _write_stdout(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
