"""Runs a container through the API, with the standard library only.

``demo.py ping SOCKET`` succeeds when an engine answers; ``demo.py run SOCKET`` pulls or makes
an image, runs a container from it and prints its output.
"""

import http.client
import io
import json
import socket
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode


API = "/v1.55"
SCRIPT = """
echo "Hello from container $(hostname), where the shell is process $$."
echo "The kernel is $(uname -r); these are its files:" /*
ip -o addr show | awk '{print "Network interface", $2, "has", $4}'
"""


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket rather than to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Refused(Exception):
    """The engine answered with an error."""


class Engine:
    """The requests to an engine that the demonstration needs."""

    def __init__(self, path: str) -> None:
        self._path = path

    def call(
        self, method: str, target: str, body: Any = None, *, timeout: float = 120, **query: str
    ) -> bytes:
        """Send one request and return the body of its response."""
        headers = {}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/x-tar"
        elif body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection = Connection(self._path, timeout)
        try:
            target = f"{API}{target}?{urlencode(query)}" if query else f"{API}{target}"
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(f"{answer.status}: {content.decode(errors='replace').strip()}")
        return content

    def progress(self, method: str, target: str, body: Any = None, **more: Any) -> None:
        """Send a request, read its response as lines of progress, and raise an error in them."""
        for line in self.call(method, target, body, **more).splitlines():
            if line.strip() and "error" in (message := json.loads(line)):
                raise Refused(message["error"])


def busybox() -> bytes:
    """Return a root filesystem as a tar archive: static busybox, and links for its commands."""
    program = Path("/bin/busybox")
    names = subprocess.run(
        [program, "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for directory, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as file:
            tar.addfile(entry, file)
        for name in names:
            if name != "busybox":
                entry = tarfile.TarInfo(f"bin/{name}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        users = b"root:x:0:0:root:/root:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(users)
        tar.addfile(entry, io.BytesIO(users))
    return archive.getvalue()


def provide_image(engine: Engine) -> None:
    """Pull the image ``busybox:demo``, or make it if no registry can be reached."""
    try:
        engine.call("GET", "/images/busybox:demo/json")
    except Refused:
        pass
    else:
        return
    try:
        engine.progress("POST", "/images/create", timeout=20, fromImage="busybox", tag="latest")
        engine.call("POST", "/images/busybox:latest/tag", repo="busybox", tag="demo")
        print("The image busybox was pulled from its registry.")
    except (Refused, OSError):
        engine.progress(
            "POST",
            "/images/create",
            busybox(),
            fromSrc="-",
            repo="busybox",
            tag="demo",
            changes='CMD ["sh"]',
        )
        print("No registry can be reached: the image busybox:demo was made from /bin/busybox.")


def output(stream: bytes) -> str:
    """Return the text in the frames of a container's log."""
    text = b""
    while stream:
        (length,) = struct.unpack(">xxxxL", stream[:8])
        text += stream[8 : 8 + length]
        stream = stream[8 + length :]
    return text.decode(errors="replace")


def run(engine: Engine) -> int:
    """Run a container, show its output, remove it and return its exit code."""
    provide_image(engine)
    create = {"Image": "busybox:demo", "Cmd": ["sh", "-c", SCRIPT]}
    container = json.loads(engine.call("POST", "/containers/create", create))["Id"]
    try:
        engine.call("POST", f"/containers/{container}/start")
        code = json.loads(engine.call("POST", f"/containers/{container}/wait"))["StatusCode"]
        log = engine.call("GET", f"/containers/{container}/logs", stdout="1", stderr="1")
        print(output(log), end="")
    finally:
        engine.call("DELETE", f"/containers/{container}", force="1")
    return int(code)


def main() -> int:
    """Run the command that the first argument names."""
    verb, path = sys.argv[1:]
    engine = Engine(path)
    try:
        if verb == "ping":
            engine.call("GET", "/_ping", timeout=5)
            return 0
        return run(engine)
    except (Refused, OSError) as error:
        print(f"{verb}: {error}", file=sys.stderr)
        return 1


sys.exit(main())
