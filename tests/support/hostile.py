"""Helpers for hostile tests: raw requests, invalid values, and measuring the engine.

Requests are sent without an HTTP client, as clients refuse to send invalid ones.
"""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from tests.support.engine import IMAGE, TestEngine

from palan.api.endpoint import Endpoint
from palan.engine.pending import PENDING


DOCUMENTED_500 = {
    "containers.create": "an unknown log driver or plugin; see the recordings",
    "containers.prune": "",
    "containers.remove": "link=1 on a container without links",
    "containers.restart": "a time that is no number",
    "containers.start": "what was accepted at create and cannot be done",
    "containers.stop": "an unknown signal",
    "containers.unpause": "it is not paused",
    "exec.create": "bad detach keys",
    "exec.resize": "it does not run",
    "containers.resize": "it does not run",
    "images.create": "no source; an import of what is no archive",
    "images.distribution_inspect": "no such registry, or none that answers",
    "images.load": "what is no archive",
    "images.search": "no such registry, or none that answers",
    "system.auth": "the registry's refusal, or no registry",
    "volumes.create": "an unknown driver",
}
"""Operations where a caller's mistake is a 500, as with dockerd, with the reasons."""

DOCUMENTED_503 = {"volumes.create", "volumes.update"}
SWARM = {"swarm", "nodes", "services", "tasks", "secrets", "configs"}
"""Operations that need a swarm: cluster volumes, and these groups."""

DOCUMENTED_501 = {
    "containers.checkpoint_create",
    "containers.checkpoint_list",
    "containers.checkpoint_remove",
}
"""Operations that need `--experimental`."""

STREAMS = {
    "containers.attach",
    "containers.attach_websocket",
    "containers.logs",
    "containers.stats",
    "containers.wait",
    "exec.start",
    "system.events",
}
"""Operations with endless responses, of which only the head is read."""


class Reply(NamedTuple):
    status: int
    body: bytes

    @property
    def message(self) -> str:
        try:
            return str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace")


class RawRequests:
    """Sends requests as bytes over a connection that is reused as long as possible."""

    def __init__(self, engine: TestEngine, seconds: float = 10) -> None:
        self.path = str(engine.socket)
        self.seconds = seconds
        self.sock: socket.socket | None = None

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(self.seconds)
        sock.connect(self.path)
        return sock

    def ask(
        self, method: str, target: str, body: bytes | None = None, *headers: str, read: bool = True
    ) -> Reply:
        """Send one request and return the response; TimeoutError if the engine hangs."""
        lines = [f"{method} {target} HTTP/1.1", "Host: docker", *headers]
        if body is not None:
            if not any(line.lower().startswith("content-type") for line in headers):
                lines.append("Content-Type: application/json")
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (body or b"")
        for attempt in (1, 2):
            fresh = self.sock is None
            if self.sock is None:
                self.sock = self.connect()
            try:
                return self._exchange(data, method, read)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()  # a kept connection may have been closed after its last answer
                if fresh or attempt == 2:
                    raise
            except BaseException:
                self.close()
                raise
        raise AssertionError("unreachable")

    def _exchange(self, data: bytes, method: str, read: bool) -> Reply:
        assert self.sock is not None
        with contextlib.suppress(BrokenPipeError):  # it may answer before all is sent
            self.sock.sendall(data)
        response = http.client.HTTPResponse(self.sock, method=method)
        response.begin()
        body = b""
        framed = response.length is not None or response.chunked
        if (read or response.status >= 400) and framed:
            body = response.read()
            if response.will_close:
                self.close()
        else:
            self.close()
        return Reply(response.status, body)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


class EngineUsage:
    """The engine's descriptors, memory and threads at one moment, for comparison."""

    def __init__(self, engine: TestEngine) -> None:
        assert engine.process is not None
        process = Path("/proc", str(engine.process.pid))
        self.descriptors = len(list((process / "fd").iterdir()))
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        self.resident = int(status["VmRSS"].split()[0])
        """KiB."""

        self.threads = int(status["Threads"])


# ---- invalid values ------------------------------------------------------------------

NAMES = [
    "nobody", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "a%2Fb", "%C3%A9", "%ff%fe",
    "a" * 10_000, "%0d%0aX-Evil:%20yes", "-", "%20", "*", "$(id)", "sha256:", "@", ":", "a:b:c",
    "sha256:" + "0" * 64, "%F0%9F%90%B3", "a@sha256:zz", "A/B", "_ping",
]  # fmt: skip

WORDS = [
    "", "0", "-1", "1", "1e309", "99999999999999999999999", "true", "nonsense", "%ff", "%00",
    "%7B%7D", "%5B%5D", "%22", "%7B%22a%22%3A%7B%22b%22%3Atrue%7D%7D", "null", "0x10", "1.5",
    "%7B%22label%22%3A%5B%22%22%5D%7D", "%7B%22until%22%3A%5B%22x%22%5D%7D", "NaN", "+5",
    "x" * 3000, "%E2%80%AE", "%7B%22id%22%3A%7B%22%5B%22%3Atrue%7D%7D", "2006-01-02T15:04:05Z",
    "%7B%22name%22%3A%5B%22(a%2B)%2B%24%22%5D%7D", "-9223372036854775809", "linux/amd64/x/y",
    "9" * 5000, "9" * 400 + "s", "9999-12-31T23:59:59.999999999Z", "0001-01-01", "1.5.5", "%D9%A3",
    "RTMIN%2B" + "9" * 5000, "http://%5B::1", "80-" + "9" * 5000, "linux/arm/vx",
]  # fmt: skip

VALUES = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e400",
    "9223372036854775808",
    '""',
    '"x"',
    '"/"',
    "[]",
    "{}",
    "[null]",
    '["x"]',
    "[[]]",
    "[{}]",
    '{"": ""}',
    '{"x": null}',
    '{"x": []}',
    '{"x": {}}',
    '{"x": [{}]}',
    '"\\u0000"',
    '"\\ud800"',
    '{"80/tcp": [{"HostPort": "x"}]}',
    '["a:b:c:d"]',
    '{"../x": "y"}',
    '"../../etc"',
    "99999999999",
    f'"{"9" * 5000}"',
    f'"{"9" * 400}"',
    f'"x:{"9" * 5000}"',
    f'{{"{"9" * 5000}/tcp": {{}}}}',
    f'["{"9" * 5000}"]',
    f'{{"max-size": "{"9" * 5000}"}}',
    f'{{"max-file": "{"9" * 5000}", "max-size": "{"9" * 400}k"}}',
    '{"80-82/tcp": {}}',
    f'["c 1:{"9" * 5000} rwm"]',
    f'"0-{"9" * 5000}"',
    '"http://[::1"',
    '"linux/arm/vx"',
    '[""]',
    '["=", "a="]',
]


def json_fields(kind: Any, depth: int = 2) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all fields of a message, by their names in JSON."""
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            for field in msgspec.structs.fields(candidate):
                yield (field.encode_name,)
                if depth > 1 and get_origin(field.type) is not dict:
                    for rest in json_fields(field.type, depth - 1):
                        yield (field.encode_name, *rest)
            return


def body_with(path: tuple[str, ...], value: str, base: dict[str, Any]) -> bytes:
    """Return a body in which one field has a value given as JSON text, which may be invalid."""
    document = json.loads(json.dumps(base))
    place = document
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = "@@"
    return json.dumps(document).encode().replace(b'"@@"', value.encode())


def query_names(endpoint: Endpoint) -> list[str]:
    """Return the names of the parameters that an endpoint takes in the query."""
    return [field.wire_name for field in endpoint.fields if field.place == "query"]


BASES: dict[str, dict[str, Any]] = {
    "containers.create": {"Image": IMAGE, "Cmd": ["true"]},
    "exec.create": {"Cmd": ["true"]},
    "volumes.create": {"Name": "hostile"},
    "exec.start": {"Detach": True},
    "system.auth": {"serveraddress": "127.0.0.1:9"},
}
"""Bodies with the other fields that a request needs in order to pass the first checks."""


def check(endpoint: Endpoint, reply: Reply, what: object) -> None:
    """Check that a response is a permitted one for a caller's mistake."""
    operation = endpoint.name
    told = (operation, what, reply)
    assert not reply.message.startswith("internal error ("), told
    if reply.status == 501:
        assert operation in PENDING | DOCUMENTED_501, told
    elif reply.status == 500:
        assert operation in DOCUMENTED_500, told
    else:
        needs_swarm = operation in DOCUMENTED_503 or endpoint.group in SWARM
        assert reply.status < 500 or (needs_swarm and reply.status == 503), told
