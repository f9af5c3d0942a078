"""Every endpoint with wrong, unusual or malicious input, over raw sockets.

The engine must always answer in time, without a traceback and without an undocumented 5xx, leave
no descriptor open, and not leak memory.
"""

import contextlib
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.crash import assert_quiet_log, eventually
from tests.support.engine import IMAGE, TestEngine
from tests.support.hostile import (
    BASES,
    NAMES,
    STREAMS,
    VALUES,
    WORDS,
    EngineUsage,
    RawRequests,
    body_with,
    check,
    json_fields,
    query_names,
)

from palan.api.endpoint import Endpoint
from palan.api.registry import endpoints
from palan.api.version import MAX_VERSION


pytestmark = pytest.mark.root

ENDPOINTS = list(endpoints())
HEAVY = {"containers.create"}
"""A sample of the values, the same at every run: these messages have too many fields for all."""

WAITS = {
    *[
        (f"containers.{operation}", name)
        for operation in ("stop", "restart")
        for name in ("t", "signal")
    ],
    ("images.create", "fromImage"),
}
"""Parameters that make the engine wait, left out here."""


@pytest.fixture(scope="module")
def target() -> Iterator[TestEngine]:
    """Yield an engine for all tests here; at the end its log must have no errors."""
    # Registries that odd names may refer to must not be asked.
    engine = TestEngine("--http-proxy=http://127.0.0.1:9", "--https-proxy=http://127.0.0.1:9")
    engine.start()
    try:
        engine.load_image()
        for _ in range(3):  # create everything that is created at first use
            engine.remove(engine.run("true"))
        before = EngineUsage(engine)
        yield engine
        engine.remove_all()
        assert_quiet_log(engine)
        eventually(lambda: EngineUsage(engine).descriptors <= before.descriptors + 2)
        after = EngineUsage(engine)
        assert after.threads <= before.threads + 40
        # 100 MiB: bodies of 16 MiB are read, and allocators keep some of that.
        assert after.resident <= before.resident + 100 * 1024, (before.resident, after.resident)
    finally:
        engine.close()


@pytest.fixture
def web(target: TestEngine) -> Iterator[TestEngine]:
    """Yield the engine with a running container."""
    ensure_web(target)
    yield target
    assert target.api.get("/_ping").status == 200


def ensure_web(engine: TestEngine) -> None:
    answer = engine.api.get("/containers/web/json")
    if answer.status == 200 and answer.json["State"]["Status"] == "running":
        return
    if answer.status == 200:
        engine.remove("web")
    if engine.api.get(f"/images/{IMAGE}/json").status != 200:
        engine.load_image()
    engine.run("sh", "-c", "trap exit TERM; sleep 600 & wait", name="web", StopSignal="KILL")


def path_of(endpoint: Endpoint, name: str) -> str:
    path = endpoint.path
    for parameter in endpoint.path_parameters:
        path = path.replace("{" + parameter + "}", name).replace("{" + parameter + "...}", name)
    return f"/v{MAX_VERSION}" + path


@contextlib.contextmanager
def asking(engine: TestEngine, endpoint: Endpoint) -> Iterator[Callable[..., int]]:
    """Yield a function that sends a request to the endpoint and checks the response."""
    wire = RawRequests(engine)
    read = endpoint.name not in STREAMS
    base = json.dumps(BASES.get(endpoint.name, {})).encode()

    def ask(target: str, body: bytes | None = None, *headers: str) -> int:
        if body is None and endpoint.method in ("POST", "PUT"):
            body = base
        try:
            reply = wire.ask(endpoint.method, target, body, *headers, read=read)
        except TimeoutError:
            raise AssertionError(("hang", endpoint.method, target, body)) from None
        check(endpoint, reply, (endpoint.method, target[:300], (body or b"")[:300]))
        return reply.status

    with contextlib.closing(wire):
        yield ask


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_odd_names_and_queries(web: TestEngine, endpoint: Endpoint):
    with asking(web, endpoint) as ask:
        operation = endpoint.name
        for name in NAMES if endpoint.path_parameters else ():
            ask(path_of(endpoint, name))
        for parameter in query_names(endpoint):
            for word in WORDS:
                if (operation, parameter) not in WAITS:
                    ask(f"{path_of(endpoint, 'web')}?{parameter}={word}")
            if (operation, parameter) not in WAITS:
                ask(f"{path_of(endpoint, 'web')}?{parameter}=1&{parameter}=x&{parameter}")
            ensure_web(web)
        for query in (
            "?;",
            "?%zz",
            "?a=b&a=c",
            "?=&=&&",
            "?" + "&".join(f"a{i}=1" for i in range(2000)),
        ):
            ask(path_of(endpoint, "nobody") + query)


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.method in ("POST", "PUT")], ids=str)
def test_odd_bodies(web: TestEngine, endpoint: Endpoint):
    with asking(web, endpoint) as ask:
        path = path_of(endpoint, "web")
        deep = 5000  # within the limit of a body; far deeper bodies follow below
        for body in (
            b"",
            b"null",
            b"[]",
            b"1",
            b'"x"',
            b"{",
            b"{}{}",
            b"{} x",
            b"\xff\xfe",
            b"\x00" * 100,
            b"[" * deep,
            b'{"a":' * deep,
            b"[" * deep + b"]" * deep,
            b'{"a":' * deep + b"1" + b"}" * deep,
            b'{"\\u0000": 1}',
            b'{"a": NaN}',
            b'{"a": 1e999999}',
            b"{" + b'"k":1,' * 20_000 + b'"k":1}',
            b'{"Image": "' + b"x" * 100_000 + b'"}',
            b"9" * 10_000,
            b'{"a": ' + b"9" * 10_000 + b"}",
        ):
            ask(path, body)
            ensure_web(web)
        for kind in ("", "text/plain", "application/json; charset=x", ";;;", "application/tar"):
            ask(path, b"{}", f"Content-Type: {kind}")
            ensure_web(web)


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if list(json_fields(e.body))], ids=str)
def test_every_field_with_wrong_values(web: TestEngine, endpoint: Endpoint):
    operation = endpoint.name
    with asking(web, endpoint) as ask:
        path = path_of(endpoint, "web")
        base = BASES.get(operation, {})
        cases = [(field, value) for field in json_fields(endpoint.body) for value in VALUES]
        if operation in HEAVY:
            cases = random.Random(55).sample(cases, min(len(cases), 1200))
        if operation == "exec.start":
            identity = web.api.post("/containers/web/exec", {"Cmd": ["true"]}).json["Id"]
            path = path_of(endpoint, identity)
        for field, value in cases:
            if operation == "containers.create" and field == ("Image",):
                continue
            status = ask(path, body_with(field, value, base))
            assert status not in (401, 403, 405), (field, value)
        ensure_web(web)
        made = [line["Id"] for line in web.api.get("/containers/json?all=1").json]
        for identity in made[
            :200
        ]:  # accepted containers can be inspected, and are started or refused
            assert web.api.get(f"/containers/{identity}/json").status == 200
        for identity in random.Random(1).sample(made, min(25, len(made))):
            if web.inspect(identity)["Name"] != "/web":
                answer = web.api.post(f"/containers/{identity}/start")
                assert answer.status < 501, answer
                assert b"internal error (" not in answer.body, (answer, web.inspect(identity))
        for identity in made:
            if web.api.get(f"/containers/{identity}/json").json["Name"] != "/web":
                web.remove(identity)


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "CONNECT", "BREW", "PROPFIND", "x" * 40])
def test_wrong_methods(web: TestEngine, method: str):
    wire = RawRequests(web)
    for path in sorted({path_of(e, "web") for e in ENDPOINTS}):
        assert wire.ask(method, path).status in (400, 404, 501), (method, path)
        assert wire.ask("OPTIONS", path).status == 200
    wire.close()


def test_huge_and_deep_bodies(web: TestEngine):
    wire = RawRequests(web)
    deep = 100_000
    for path in (
        f"/v{MAX_VERSION}/containers/create",
        "/v1.24/containers/create",
        f"/v{MAX_VERSION}/containers/web/exec",
    ):
        for body in (b"[" * deep, b'{"Env":' * deep, b'{"Env":' + b"[" * deep + b"]" * deep + b"}"):
            assert wire.ask("POST", path, body).status == 400
        big = b'{"Image": "busybox", "Env": ["' + b"x" * 20_000_000 + b'"]}'
        assert wire.ask("POST", path, big).status == 400
    for query in ("filters=" + "%7B" * 15_000, "filters=" + "[" * 40_000):
        assert wire.ask("GET", f"/v{MAX_VERSION}/containers/json?{query}").status == 400
    wire.close()


CREATE = f"POST /v{MAX_VERSION}/containers/create HTTP/1.1\r\nHost: x\r\n".encode()


def raw(engine: TestEngine, data: bytes, *, half_close: bool = True, seconds: float = 10) -> bytes:
    """Send bytes, and read until the engine closes."""
    with RawRequests(engine, seconds).connect() as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                answer += part
        return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /_ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        CREATE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        CREATE + b"Transfer-Encoding: gzip\r\n\r\n",
        CREATE + b"Content-Length: -5\r\n\r\n",
        CREATE + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        (CREATE + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"),
        b"GET /_ping HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"X-%d: y\r\n" % i for i in range(20_000))
        + b"\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /v{MAX_VERSION}/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        b"GET http://example.org/_ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET \x00 HTTP/1.1\r\n\r\n",
        b"GET /_ping HTTP/1.1\nHost: x\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"\r\n" * 10_000,
        b"",
    ],
)
def test_input_that_is_not_http(web: TestEngine, data: bytes):
    answer = raw(web, data)
    assert answer == b"" or answer.startswith(
        (b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4", b"HTTP/1.1 501")
    )


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"GET /_ping HTTP/1.1\r\n", f"POST /v{MAX_VERSION}/".encode()]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_bytes(web: TestEngine, data: bytes, start: bytes):
    answer = raw(web, start + data)
    assert b"HTTP/1.1 5" not in answer


def test_pipelining(web: TestEngine):
    ping = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
    assert raw(web, ping * 500).count(b"HTTP/1.1 200") == 500
    path = f"/v{MAX_VERSION}/volumes/create"
    create = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
    assert raw(web, (create + ping) * 20).count(b"HTTP/1.1 20") == 40
    web.api.post("/volumes/prune")


def test_a_slow_body_delays_no_other_request(web: TestEngine):
    head = CREATE + b"Content-Type: application/json\r\n"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(RawRequests(web).connect()) for _ in range(20)]
        for sock in slow:
            sock.sendall(head + b"Content-Length: 22\r\n\r\n")
        for byte in b'{"Image": "nosuch:v1"}':
            for sock in slow:
                sock.sendall(bytes([byte]))
            assert web.api.get("/_ping", timeout=5).status == 200
        for sock in slow:
            assert sock.recv(4096).startswith(b"HTTP/1.1 404")


ABANDONED = {
    "attach": f"POST /v{MAX_VERSION}/containers/web/attach?stream=1&stdout=1&stdin=1",
    "attach, HTTP only": f"POST /v{MAX_VERSION}/containers/web/attach?stream=1&stdout=1&logs=1",
    "logs": f"GET /v{MAX_VERSION}/containers/web/logs?follow=1&stdout=1",
    "events": f"GET /v{MAX_VERSION}/events",
    "wait": f"POST /v{MAX_VERSION}/containers/web/wait",
    "exec": "",
    "websocket": f"GET /v{MAX_VERSION}/containers/web/attach/ws?stream=1&stdout=1",
    "import": f"POST /v{MAX_VERSION}/images/create?fromSrc=-&repo=half",
    "load": f"POST /v{MAX_VERSION}/images/load",
}


@pytest.mark.parametrize("kind", ABANDONED)
@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_abandoned_connections(web: TestEngine, kind: str, how: str):
    before = EngineUsage(web).descriptors
    socks = []
    for _ in range(10):
        request, body = ABANDONED[kind], b""
        headers = ["Host: x"]
        if kind == "exec":
            config = {"Cmd": ["sleep", "2"], "AttachStdout": True, "AttachStdin": True}
            identity = web.api.post("/containers/web/exec", config).json["Id"]
            request, body = f"POST /v{MAX_VERSION}/exec/{identity}/start", b"{}"
            headers.append("Content-Type: application/json")
        if kind in ("attach", "exec"):
            headers += ["Upgrade: tcp", "Connection: Upgrade"]
        if kind == "websocket":
            headers += [
                "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]  # fmt: skip
        if kind in ("import", "load"):
            headers.append("Content-Length: 1000000")
            body = b"x" * 1000
        else:
            headers.append(f"Content-Length: {len(body)}")
        sock = RawRequests(web).connect()
        sock.sendall("\r\n".join([f"{request} HTTP/1.1", *headers, "", ""]).encode() + body)
        socks.append(sock)
    time.sleep(0.1)
    for sock in socks:
        if how == "half":
            sock.shutdown(socket.SHUT_WR)
    for sock in socks:
        if (
            how == "reset"
        ):  # closed with unread bytes, which resets the connection, as after a crash
            with contextlib.suppress(OSError):
                sock.sendall(b"\x81\x00" * 10)
        sock.close()
    eventually(lambda: EngineUsage(web).descriptors <= before + 1, seconds=15)
    assert web.api.get("/containers/web/json").json["State"]["Running"]


def test_two_hundred_connections_at_once(web: TestEngine):
    before = EngineUsage(web).descriptors
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(RawRequests(web).connect()) for _ in range(200)]
        for sock in socks:
            sock.sendall(
                f"GET /v{MAX_VERSION}/containers/json?all=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
        for sock in socks:
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        # They stay open, and other clients are still served.
        assert web.api.get("/_ping").status == 200
    eventually(lambda: EngineUsage(web).descriptors <= before + 1)


def test_memory_stays_bounded(web: TestEngine):
    wire = RawRequests(web)
    body = b'{"Image": "busybox", "Env": ["' + b"x" * 4_000_000 + b'"], "Cmd": 5}'
    for _ in range(5):
        wire.ask("POST", f"/v{MAX_VERSION}/containers/create", body)
    before = EngineUsage(web).resident
    for _ in range(40):
        assert wire.ask("POST", f"/v{MAX_VERSION}/containers/create", body).status == 400
    for _ in range(2000):
        wire.ask("GET", f"/v{MAX_VERSION}/containers/nobody/json")
    assert EngineUsage(web).resident <= before + 32 * 1024
    wire.close()


def test_a_client_that_does_not_read_costs_no_memory(web: TestEngine):
    yes = web.run("sh", "-c", "yes 0123456789abcdef0123456789abcdef", name="yes")
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            sock = stack.enter_context(RawRequests(web).connect())
            logs = f"/v{MAX_VERSION}/containers/yes/logs?follow=1&stdout=1"
            sock.sendall(f"GET {logs} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sock = stack.enter_context(RawRequests(web).connect())
            attach = f"/v{MAX_VERSION}/containers/yes/attach?stream=1&stdout=1"
            sock.sendall(f"POST {attach} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.3)
        before = EngineUsage(web).resident
        time.sleep(1.5)
        assert EngineUsage(web).resident <= before + 32 * 1024
    web.remove(yes)


LONG = "x" * 300
VERY_LONG = ("/" + "y" * 200) * 21
ODD_HOST_CONFIGS: list[dict[str, Any]] = [
    {"Binds": [f"{LONG}:/data"]},
    {"Binds": [f"/{LONG}:/data"]},
    {"Binds": [f"{VERY_LONG}:/data"]},
    {"Binds": [f"/tmp:/{LONG}"]},
    {"Binds": [f"/tmp:{VERY_LONG}"]},
    {"Binds": ["/tmp:/a\0b"]},
    {"Binds": ["/t\0mp:/a"]},
    {"Binds": ["/proc/self/mem:/a"]},
    {"Binds": ["/dev/null:/etc"]},
    {"Binds": ["/tmp:/proc"]},
    {"Binds": ["/tmp:/proc/1"]},
    {"Binds": ["/tmp:/.."]},
    {"Mounts": [{"Type": "bind", "Source": "/t\0mp", "Target": "/a"}]},
    {"Mounts": [{"Type": "volume", "Source": LONG, "Target": "/a"}]},
    {"Mounts": [{"Type": "tmpfs", "Target": "/a", "TmpfsOptions": {"SizeBytes": 2**63 - 1}}]},
    {"Tmpfs": {"/a": "size=\0"}},
    {"Tmpfs": {"/a": "size=banana"}},
    {"Tmpfs": {"/a\0": ""}},
    {"Devices": [{"PathOnHost": "/dev/n\0ull", "PathInContainer": "/dev/x"}]},
    {"Devices": [{"PathOnHost": VERY_LONG, "PathInContainer": "/dev/x"}]},
    {"Devices": [{"PathOnHost": "/etc/passwd", "PathInContainer": "/dev/x"}]},
    {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "../../../x"}]},
    {"CgroupParent": "../../../../escape"},
    {"CgroupParent": "a\0b"},
    {"CgroupParent": LONG},
    {"Sysctls": {"net.ipv4.../../kernel/panic": "1"}},
    {"Sysctls": {"net.ipv4.ip_forward": "banana"}},
    {"Sysctls": {"net.\0": "1"}},
    {"ExtraHosts": ["a\nb:1.2.3.4"]},
    {"ExtraHosts": [f"{LONG}:1.2.3.4"]},
    {"Dns": ["1.2.3.4\nnameserver 6.6.6.6"]},
    {"DnsSearch": ["a\nb\0"]},
    {"DnsOptions": ["\ud800"]},
    {"SecurityOpt": ["seccomp=" + "[" * 5000]},
    {"SecurityOpt": ['seccomp={"defaultAction": 5}']},
    {"SecurityOpt": ["label=\0"]},
    {"CapAdd": ["\0"]},
    {"GroupAdd": ["a\0b"]},
    {"MaskedPaths": ["/a\0"], "ReadonlyPaths": [VERY_LONG]},
    {"MaskedPaths": ["../.."], "ReadonlyPaths": ["/proc/nosuch"]},
    {"Ulimits": [{"Name": "nofile", "Soft": 2**63 - 1, "Hard": -1}]},
    {"Ulimits": [{"Name": "\0", "Soft": 1, "Hard": 1}]},
    {"LogConfig": {"Type": "json-file", "Config": {"tag": "{{\0", "labels-regex": "("}}},
    {"ShmSize": 2**62},
    {"OomScoreAdj": -1000},
    {"CpusetCpus": "4096"},
    {"Memory": 2**62},
    {"NanoCpus": 1},
    {"CpuRealtimeRuntime": 1},
    {"PidsLimit": 2**62},
    {"BlkioWeightDevice": [{"Path": "/dev/n\0", "Weight": 10}]},
    {"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 2**63}]},
    {"StorageOpt": {"size": "\0"}},
    {"Runtime": "../../bin/sh"},
    {"UsernsMode": "x"},
    {"PidMode": "container:\0"},
    {"IpcMode": f"container:{LONG}"},
    {"PortBindings": {"80/tcp": [{"HostIp": "300.1.1.1", "HostPort": "1"}]}},
    {"PortBindings": {"80/tcp": [{"HostIp": "203.0.113.9", "HostPort": "39999"}]}},
    {"PortBindings": {"80/tcp": [{"HostPort": "39000-39001"}] * 5}},
    {"Annotations": {"": "x", "a\0": "\0"}},
]
ODD_CONFIGS: list[dict[str, Any]] = [
    {"Cmd": ["tr\0ue"]},
    {"Cmd": ["echo", "a\0b"]},
    {"Cmd": [VERY_LONG]},
    {"Cmd": [""]},
    {"Cmd": ["\ud800"]},
    {"Cmd": ["echo", "x" * 200_000]},
    {"Cmd": ["true"] * 50_000},
    {"Env": ["A\0B=c", "=", "", "\ud800=1"]},
    {"Env": ["A=" + "x" * 200_000]},
    {"WorkingDir": "/a\0b"},
    {"WorkingDir": VERY_LONG},
    {"WorkingDir": f"/{LONG}"},
    {"WorkingDir": "/etc/passwd/x"},
    {"User": "a\0b"},
    {"User": VERY_LONG},
    {"User": "1:2:3"},
    {"Hostname": LONG},
    {"Hostname": "a\nb"},
    {"Hostname": "a\0b"},
    {"Domainname": LONG},
    {"Labels": {"\0": "\ud800", LONG: LONG}},
    {"Volumes": {f"/{LONG}": {}}},
    {"Volumes": {"/a\0b": {}}},
    {"Volumes": {"relative/../../..": {}}},
    {"StopSignal": "\0"},
    {"ExposedPorts": {"80-82/tcp": {}, "\0/tcp": {}}},
    {"Entrypoint": ["\0"]},
    {"Image": "busy\0box"},
    {"Image": VERY_LONG},
    {"MacAddress": "zz"},
]


@pytest.mark.parametrize("number", range(len(ODD_HOST_CONFIGS) + len(ODD_CONFIGS)), ids=str)
def test_odd_containers_are_refused_or_run(web: TestEngine, number: int):
    odd = [*({"HostConfig": host} for host in ODD_HOST_CONFIGS), *ODD_CONFIGS][number]
    body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {}, **odd}
    created = web.api.post("/containers/create", body)
    assert created.status in (201, 400, 404), created
    if created.status != 201:
        return
    identity = created.json["Id"]
    started = web.api.post(f"/containers/{identity}/start")
    assert started.status in (204, 400, 404, 409, 500), started
    assert b"internal error (" not in started.body, started
    assert web.api.get(f"/containers/{identity}/json").status == 200
    assert web.api.get("/containers/json?all=1&size=1").status == 200
    assert web.api.delete(f"/containers/{identity}?force=1&v=1").status == 204


@pytest.mark.parametrize(
    "config",
    [c for c in ODD_CONFIGS if c.keys() & {"Cmd", "Env", "User", "WorkingDir"}],
    ids=lambda config: str(config)[:30],
)
def test_odd_execs_are_refused_or_run(web: TestEngine, config: dict[str, Any]):
    created = web.api.post("/containers/web/exec", {"Cmd": ["true"], **config})
    assert created.status in (201, 400), created
    if created.status == 201:
        target = f"/exec/{created.json['Id']}/start"
        started = web.api.post(target, {"Detach": True})
        assert started.status in (200, 400), started
        assert b"internal error (" not in started.body, started
        assert web.api.get(f"/exec/{created.json['Id']}/json").status == 200
