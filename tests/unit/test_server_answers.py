"""The HTTP responses for each kind of result, error and version."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from tests.support.serving import connected, rooms, served

from palan import __version__
from palan.api import Filters, Group, Header, Message, Request, Version
from palan.api.errors import (
    Conflict,
    InvalidParameter,
    NotFound,
    NotModified,
    Unavailable,
)
from palan.api.frames import STDOUT, SYSTEM, FrameDecoder, frame
from palan.api.results import (
    JSON_LINES,
    JSON_SEQUENCE,
    NDJSON,
    NO_CONTENT,
    Bytes,
    ByteSource,
    ByteStream,
    FrameStream,
    Json,
    Late,
    LateJson,
    Messages,
    MessageStream,
    NoContent,
    PathStat,
    RawFrames,
    Stat,
    WithHeaders,
)
from palan.api.results import Ping as PingResult
from palan.api.version import MAX_VERSION


API_HEADERS = {
    "Api-Version": str(MAX_VERSION),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Palan/{__version__} (linux)",
}


class Thing(Message):
    name: str = ""


class Spec(Message):
    name: str = ""
    command: list[str] | None = None


things = Group("things", "Things.")
containers = Group("containers", "As far as versions matter.")
system = Group("system", "As far as content types matter.")


@things.endpoint("GET", "/things/json", operation="list", result=Json(list[Thing]))
class ThingList(Request):
    all: bool = False
    limit: int = 0
    filters: Filters = Filters()


@things.endpoint("POST", "/things/create", operation="create", result=Json(Thing, status=201))
class ThingCreate(Request):
    body: Spec
    auth: Annotated[str, Header("X-Registry-Auth")] = ""


@things.endpoint("POST", "/things/{id}/start", operation="start", result=NO_CONTENT)
class ThingStart(Request):
    id: str


@things.endpoint("POST", "/things/{id}/resize", operation="resize", result=NoContent(status=200))
class ThingResize(Request):
    id: str


@things.endpoint("GET", "/things/{id}/tar", operation="tar", result=Bytes())
class ThingTar(Request):
    id: str


@things.endpoint("PUT", "/things/{id}/tar", operation="put", result=Json(Thing))
class ThingPut(Request):
    id: str
    body: ByteSource


@things.endpoint("HEAD", "/things/{id}/tar", operation="stat", result=Stat())
class ThingStat(Request):
    id: str


@things.endpoint("GET", "/things/{id}/logs", operation="logs", result=RawFrames())
class ThingLogs(Request):
    id: str


@things.endpoint("POST", "/things/{name...}/pull", operation="pull", result=Messages(Thing))
class ThingPull(Request):
    name: str


@things.endpoint("GET", "/things/new", operation="new", result=Json(Thing), since=Version(1, 50))
class ThingNew(Request):
    pass


@things.endpoint("POST", "/things/later", operation="later", result=NO_CONTENT)
class ThingLater(Request):
    pass


@containers.endpoint("POST", "/containers/{id}/wait", operation="wait", result=LateJson(Thing))
class Wait(Request):
    id: str


@system.endpoint(
    "GET",
    "/events",
    operation="events",
    result=Messages(
        Thing,
        media_types=(JSON_LINES, NDJSON, JSON_SEQUENCE),
        media_types_since=Version(1, 52),
    ),
)
class Events(Request):
    pass


@system.endpoint("GET", "/_ping", operation="ping", result=PingResult())
class Ping(Request):
    pass


@system.endpoint("HEAD", "/_ping", operation="ping_head", result=PingResult())
class PingHead(Request):
    pass


ENDPOINTS = [*things, *containers, *system]


async def several(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


def engine(**methods: Any) -> Any:
    """Return an engine with only these operations, e.g. ``list=...`` or ``system_ping=...``."""
    groups: dict[str, dict[str, Any]] = {"things": {}, "containers": {}, "system": {}}
    for name, method in methods.items():
        group, _, operation = name.rpartition("__")
        groups[group or "things"][operation] = method
    have = {f"{group}.{name}" for group, names in groups.items() for name in names}
    pending = {e.name for e in ENDPOINTS} - have
    return rooms(pending, **groups)


def answering(value: Any) -> Any:
    async def method(_request: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return method


async def ask(tmp_path, methods, method, target, *headers, body=None, **options):
    path = tmp_path / "s"
    async with served(engine(**methods), ENDPOINTS, path, **options), connected(path) as client:
        return await client.call(method, target, *headers, body=body)


def without_date(headers: dict[str, str]) -> dict[str, str]:
    rest = dict(headers)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", rest.pop("Date"))
    return rest


# ---- whole responses --------------------------------------------------------------


async def test_json(tmp_path):
    asked = []

    async def method(request):
        asked.append(request)
        return [Thing(name="a")]

    response = await ask(tmp_path, {"list": method}, "GET", "/v1.41/things/json?all=1&limit=3")
    assert (response.status, response.body) == (200, b'[{"Name":"a"}]\n')
    assert without_date(response.headers) == {
        **API_HEADERS,
        "Content-Type": "application/json",
        "Content-Length": "15",
    }
    assert (asked[0].all, asked[0].limit) == (True, 3)


async def test_a_body_comes_in_and_201_goes_out(tmp_path):
    async def create(request):
        return Thing(name=f"{request.body.name} {request.auth}")

    response = await ask(
        tmp_path, {"create": create}, "POST", "/things/create",
        "Content-Type: application/json", "X-Registry-Auth: secret", body=b'{"name":"x"}',
    )  # fmt: skip
    assert response.status == 201
    assert response.body == b'{"Name":"x secret"}\n'


async def test_no_content(tmp_path):
    response = await ask(tmp_path, {"start": answering(None)}, "POST", "/things/1/start")
    assert response.status == 204
    assert without_date(response.headers) == API_HEADERS


async def test_empty_200(tmp_path):
    response = await ask(tmp_path, {"resize": answering(None)}, "POST", "/things/1/resize")
    assert response.status == 200
    assert without_date(response.headers) == {**API_HEADERS, "Content-Length": "0"}


async def test_ping(tmp_path):
    response = await ask(tmp_path, {"system__ping": answering("OK")}, "GET", "/v1.24/_ping")
    assert (response.status, response.body) == (200, b"OK")
    assert without_date(response.headers) == {
        **API_HEADERS,
        "Builder-Version": "1",
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Content-Length": "2",
        "Content-Type": "text/plain; charset=utf-8",
        "Pragma": "no-cache",
        "Swarm": "inactive",
    }


async def test_ping_head_has_the_headers_of_ping(tmp_path):
    methods = {
        "system__ping_head": answering(WithHeaders(None, {"Swarm": "active/manager"})),
    }
    response = await ask(tmp_path, methods, "HEAD", "/_ping")
    assert response.status == 200
    assert response.headers["Content-Length"] == "0"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Swarm"] == "active/manager"
    assert response.headers["Builder-Version"] == "1"


async def test_stat(tmp_path):
    stat = PathStat(name="tmp", size=4, mode=2**31, mtime="2026-01-01T00:00:00Z")
    response = await ask(tmp_path, {"stat": answering(stat)}, "HEAD", "/things/1/tar")
    assert response.status == 200
    header = response.headers.pop("X-Docker-Container-Path-Stat")
    assert json.loads(base64.b64decode(header))["name"] == "tmp"
    assert without_date(response.headers) == API_HEADERS


# ---- late responses -----------------------------------------------------------------


async def test_the_head_of_a_late_answer_comes_at_once(tmp_path):
    ended: asyncio.Future[Thing] = asyncio.get_running_loop().create_future()
    path = tmp_path / "s"
    serving = served(engine(containers__wait=answering(Late(ended))), ENDPOINTS, path)
    async with serving, connected(path) as client:
        await client.request("POST", "/v1.30/containers/1/wait")
        head = await client.head()
        assert head.headers["Transfer-Encoding"] == "chunked"
        assert head.headers["Content-Type"] == "application/json"
        ended.set_result(Thing(name="end"))
        assert await client.chunk() == b'{"Name":"end"}\n'
        assert await client.chunk() == b""


async def test_before_1_30_late_answers_were_whole(tmp_path):
    async def value():
        return Thing(name="end")

    response = await ask(
        tmp_path, {"containers__wait": answering(Late(value()))}, "POST",
        "/v1.29/containers/1/wait",
    )  # fmt: skip
    assert response.headers["Content-Length"] == "15"


async def test_a_late_failure_leaves_the_body_empty(tmp_path):
    async def value():
        raise Conflict("too late")

    response = await ask(
        tmp_path, {"containers__wait": answering(Late(value()))}, "POST", "/containers/1/wait"
    )
    assert (response.status, response.body) == (200, b"")


# ---- streams ------------------------------------------------------------------------


async def test_bytes(tmp_path):
    stream = ByteStream(several(b"a" * 10, b"", b"b"), {"X-Extra": "1"})
    response = await ask(tmp_path, {"tar": answering(stream)}, "GET", "/things/1/tar")
    assert response.body == b"a" * 10 + b"b"
    assert without_date(response.headers) == {
        **API_HEADERS,
        "Content-Type": "application/x-tar",
        "X-Extra": "1",
        "Transfer-Encoding": "chunked",
    }


async def test_bytes_to_a_client_of_http_1_0(tmp_path):
    path = tmp_path / "s"
    stream = ByteStream(several(b"abc", b"def"))
    async with served(engine(tar=answering(stream)), ENDPOINTS, path), connected(path) as client:
        await client.send(b"GET /things/1/tar HTTP/1.0\r\n\r\n")
        response = await client.response()
        assert "Transfer-Encoding" not in response.headers
        assert response.headers["Connection"] == "close"
        assert response.body == b"abcdef"


async def test_an_error_before_the_first_byte_is_a_status(tmp_path):
    stream = ByteStream(several(NotFound("gone")))
    response = await ask(tmp_path, {"tar": answering(stream)}, "GET", "/things/1/tar")
    assert (response.status, response.body) == (404, b'{"message":"gone"}\n')


async def test_an_error_in_the_middle_breaks_off(tmp_path):
    path = tmp_path / "s"
    stream = ByteStream(several(b"abc", NotFound("gone")))
    async with served(engine(tar=answering(stream)), ENDPOINTS, path), connected(path) as client:
        await client.request("GET", "/things/1/tar")
        await client.head()
        assert await client.chunk() == b"abc"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.chunk()


@pytest.mark.parametrize(
    ("version", "tty", "kind"),
    [
        ("", False, "multiplexed"),
        ("/v1.42", False, "multiplexed"),
        ("/v1.41", False, "raw"),
        ("", True, "raw"),
    ],
)
async def test_logs(tmp_path, version, tty, kind):
    stream = FrameStream(several(frame(STDOUT, b"a")), tty=tty)
    response = await ask(tmp_path, {"logs": answering(stream)}, "GET", f"{version}/things/1/logs")
    assert response.body == frame(STDOUT, b"a")
    assert response.headers["Content-Type"] == f"application/vnd.docker.{kind}-stream"


async def test_errors_in_logs_are_frames_of_the_engine(tmp_path):
    stream = FrameStream(several(frame(STDOUT, b"a"), NotFound("lost it")))
    response = await ask(tmp_path, {"logs": answering(stream)}, "GET", "/things/1/logs")
    assert list(FrameDecoder().feed(response.body)) == [
        (STDOUT, b"a"),
        (SYSTEM, b"Error grabbing logs: lost it\n"),
    ]


async def test_the_head_of_logs_comes_before_any_line(tmp_path):
    path = tmp_path / "s"
    more = asyncio.Event()

    async def lines():
        await more.wait()
        yield frame(STDOUT, b"a")

    stream = FrameStream(lines())
    async with served(engine(logs=answering(stream)), ENDPOINTS, path), connected(path) as client:
        await client.request("GET", "/things/1/logs")
        assert (await client.head()).status == 200
        more.set()
        assert await client.chunk() == frame(STDOUT, b"a")


async def test_messages(tmp_path):
    stream = MessageStream(several(Thing(name="a"), Thing(name="b")))
    response = await ask(tmp_path, {"pull": answering(stream)}, "POST", "/things/a/b:1/pull")
    assert response.headers["Content-Type"] == "application/json"
    assert response.body == b'{"Name":"a"}\n{"Name":"b"}\n'


async def test_no_messages(tmp_path):
    stream = MessageStream(several())
    response = await ask(tmp_path, {"pull": answering(stream)}, "POST", "/things/a/pull")
    assert (response.status, response.body) == (200, b"")


async def test_an_error_before_the_first_message_is_a_status(tmp_path):
    stream = MessageStream(several(NotFound("no such image")))
    response = await ask(tmp_path, {"pull": answering(stream)}, "POST", "/things/a/pull")
    assert (response.status, response.body) == (404, b'{"message":"no such image"}\n')


async def test_later_errors_are_messages(tmp_path):
    stream = MessageStream(several(Thing(name="a"), NotFound('no "b"')))
    response = await ask(tmp_path, {"pull": answering(stream)}, "POST", "/things/a/pull")
    last = json.loads(response.body.splitlines()[-1])
    assert last == {"errorDetail": {"message": 'no "b"'}, "error": 'no "b"'}


async def test_bugs_are_messages_without_details(tmp_path):
    stream = MessageStream(several(Thing(name="a"), KeyError("secret")))
    response = await ask(tmp_path, {"pull": answering(stream)}, "POST", "/things/a/pull")
    last = json.loads(response.body.splitlines()[-1])
    assert last["error"].startswith("internal error")
    assert b"secret" not in response.body


@pytest.mark.parametrize(
    ("version", "accept", "kind"),
    [
        ("", None, "application/jsonl"),
        ("/v1.52", None, "application/jsonl"),
        ("/v1.51", None, "application/json"),
        ("", "*/*", "application/jsonl"),
        ("", "application/json-seq", "application/json-seq"),
        ("/v1.41", "application/x-ndjson", "application/x-ndjson"),
        (
            "",
            "application/x-ndjson;q=0.1, application/json-seq;q=0.9, text/html",
            "application/json-seq",
        ),
        ("", "application/json-seq;q=0, a;q=x", "application/jsonl"),
    ],
)
async def test_content_types_of_events(tmp_path, version, accept, kind):
    stream = MessageStream(several(Thing(name="a")), early=True)
    response = await ask(
        tmp_path, {"system__events": answering(stream)}, "GET", f"{version}/events",
        *([f"Accept: {accept}"] if accept else []),
    )  # fmt: skip
    assert response.headers["Content-Type"] == kind
    mark = b"\x1e" if kind.endswith("seq") else b""
    assert response.body.startswith(mark + b"{")


async def test_the_head_of_an_early_stream_comes_before_any_message(tmp_path):
    path = tmp_path / "s"
    closed = asyncio.Event()

    async def forever():
        try:
            await asyncio.Event().wait()
            yield Thing()
        finally:
            closed.set()

    stream = MessageStream(forever(), early=True)
    async with served(engine(system__events=answering(stream)), ENDPOINTS, path):
        async with connected(path) as client:
            await client.request("GET", "/events")
            assert (await client.head()).status == 200
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_body_is_streamed_in(tmp_path):
    came = asyncio.Semaphore(0)

    async def put(request):
        sizes = []
        async for part in request.body:
            sizes.append(len(part))
            came.release()
        return Thing(name=str(sizes))

    path = tmp_path / "s"
    async with served(engine(put=put), ENDPOINTS, path), connected(path) as client:
        await client.request("PUT", "/things/1/tar", "Transfer-Encoding: chunked")
        for part in (b"a" * 5, b"b" * 3):
            await client.send(b"%x\r\n%b\r\n" % (len(part), part))
            await came.acquire()
        await client.send(b"0\r\n\r\n")
        response = await client.response()
        assert response.body == b'{"Name":"[5, 3]"}\n'
        assert (await client.call("PUT", "/things/1/tar", body=b"xy")).body == b'{"Name":"[2]"}\n'


# ---- errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidParameter("m"), 400),
        (NotFound("m"), 404),
        (Conflict("m"), 409),
        (Unavailable("m"), 503),
    ],
)
async def test_errors_become_statuses(tmp_path, error, status):
    response = await ask(tmp_path, {"start": answering(error)}, "POST", "/things/1/start")
    assert (response.status, response.body) == (status, b'{"message":"m"}\n')
    assert without_date(response.headers) == {
        **API_HEADERS,
        "Content-Type": "application/json",
        "Content-Length": str(len(response.body)),
    }


async def test_not_modified_has_no_body(tmp_path):
    error = NotModified("already")
    response = await ask(tmp_path, {"start": answering(error)}, "POST", "/things/1/start")
    assert response.status == 304
    assert without_date(response.headers) == API_HEADERS


async def test_messages_of_errors_need_not_be_utf8(tmp_path):
    error = NotFound("no \udcff")
    response = await ask(tmp_path, {"start": answering(error)}, "POST", "/things/1/start")
    assert json.loads(response.body) == {"message": "no \ufffd"}


async def test_bugs_are_logged_but_not_sent_to_the_client(tmp_path, capsys):
    error = KeyError("secret")
    response = await ask(tmp_path, {"start": answering(error)}, "POST", "/things/1/start")
    assert response.status == 500
    assert "KeyError" in json.loads(response.body)["message"]
    assert b"secret" not in response.body
    assert b"Traceback" not in response.body
    assert "secret" in capsys.readouterr().out


async def test_pending_operations_are_501(tmp_path):
    response = await ask(tmp_path, {}, "POST", "/things/later")
    assert response.status == 501
    assert json.loads(response.body)["message"] == (
        "POST /things/later is not implemented by this engine yet"
    )


async def test_malformed_bodies(tmp_path):
    methods = {"create": answering(Thing())}
    json_type = "Content-Type: application/json"
    path = tmp_path / "s"
    async with served(engine(**methods), ENDPOINTS, path), connected(path) as client:
        for headers, body, message in (
            ([json_type], b"{", "invalid JSON: unexpected EOF"),
            ([], b"{}", "malformed Content-Type header (): mime: no media type"),
            ([json_type], b"{}{}", "unexpected content after JSON"),
            (
                [json_type],
                b'{"Command":5}',
                (
                    "invalid JSON: json: cannot unmarshal number into Go struct field .Command "
                    "of type []string"
                ),
            ),
        ):
            response = await client.call("POST", "/things/create", *headers, body=body)
            assert response.status == 400
            assert json.loads(response.body) == {"message": message}


async def test_bodies_have_a_limit(tmp_path):
    methods = {"create": answering(Thing())}
    response = await ask(
        tmp_path, methods, "POST", "/things/create", f"Content-Length: {2**24 + 1}",
        "Content-Type: application/json",
    )  # fmt: skip
    assert response.status == 400
    assert b"longer than 16 MiB" in response.body
    assert response.headers["Connection"] == "close"


async def test_chunked_bodies_have_a_limit_too(tmp_path):
    path = tmp_path / "s"
    async with (
        served(engine(create=answering(Thing())), ENDPOINTS, path),
        connected(path) as client,
    ):
        await client.request(
            "POST", "/things/create", "Transfer-Encoding: chunked", "Content-Type: application/json"
        )
        for _ in range(17):
            await client.send(b"100000\r\n" + b" " * 2**20 + b"\r\n")
        assert (await client.response()).status == 400


# ---- paths and versions ---------------------------------------------------------------


async def test_not_found(tmp_path):
    path = tmp_path / "s"
    async with served(engine(), ENDPOINTS, path), connected(path) as client:
        for method, target in (
            ("GET", "/nowhere"),
            ("POST", "/things/json"),
            ("GET", "/v1.x/things/json"),
            ("get", "/things/json"),
            ("GET", "/v1.99/nowhere"),
        ):
            response = await client.call(method, target)
            assert (response.status, response.body) == (404, b'{"message":"page not found"}\n')
            assert without_date(response.headers) == {
                "Content-Type": "application/json",
                "Content-Length": "29",
            }
        head = await client.call("HEAD", "/things/json")
        assert head.status == 404
        redirect = await client.call("GET", f"/v{MAX_VERSION}//things/json?a=b")
        assert redirect.status == 301
        assert without_date(redirect.headers) == {
            "Location": f"/v{MAX_VERSION}/things/json?a=b",
            "Content-Length": "0",
        }
        options = await client.call("OPTIONS", f"/v{MAX_VERSION}/whatever")
        assert (options.status, options.body) == (200, b"")
        assert options.headers["Api-Version"] == str(MAX_VERSION)


@pytest.mark.parametrize("version", ["1.10", "1.23", "1", "0.1"])
async def test_very_old_versions_are_refused_in_plain_text(tmp_path, version):
    response = await ask(tmp_path, {}, "GET", f"/v{version}/things/json")
    assert response.status == 400
    assert response.body.decode() == (
        f"client version {version} is too old. Minimum supported API version is 1.24, "
        "please upgrade your client to a newer version\n"
    )
    headers = without_date(response.headers)
    del headers["Content-Length"]
    assert headers == {
        "Api-Version": str(MAX_VERSION),
        "Content-Type": "text/plain; charset=utf-8",
        "Ostype": "linux",
        "Server": f"Palan/{__version__} (linux)",
        "X-Content-Type-Options": "nosniff",
    }


async def test_old_versions_below_a_raised_floor_are_refused_in_json(tmp_path):
    response = await ask(tmp_path, {}, "GET", "/v1.30/things/json", min_version=Version(1, 40))
    assert response.status == 400
    assert json.loads(response.body)["message"].startswith("client version 1.30 is too old. ")


@pytest.mark.parametrize("version", ["1.99", "2.0"])
async def test_new_versions_are_refused(tmp_path, version):
    response = await ask(tmp_path, {}, "GET", f"/v{version}/things/json")
    assert response.status == 400
    assert json.loads(response.body) == {
        "message": f"client version {version} is too new. "
        f"Maximum supported API version is {MAX_VERSION}"
    }
    assert "Docker-Experimental" not in response.headers


async def test_endpoints_that_are_newer_than_the_version(tmp_path):
    methods = {"new": answering(Thing())}
    response = await ask(tmp_path, methods, "GET", "/v1.49/things/new")
    assert response.status == 400
    assert json.loads(response.body) == {
        "message": "GET /things/new requires minimum API version 1.50"
    }


async def test_endpoints_as_new_as_the_version(tmp_path):
    response = await ask(tmp_path, {"new": answering(Thing())}, "GET", "/v1.50/things/new")
    assert response.status == 200


async def test_malformed_queries(tmp_path):
    path = tmp_path / "s"
    async with served(engine(list=answering([])), ENDPOINTS, path), connected(path) as client:
        for query, message in (
            ("all=1;limit=1", "invalid semicolon separator in query"),
            ("filters=%zz", 'invalid URL escape "%zz"'),
            ("limit=few", 'strconv.Atoi: parsing "few": invalid syntax'),
            ("filters=%7B", "invalid filter"),
        ):
            response = await client.call("GET", f"/things/json?{query}")
            assert response.status == 400
            assert json.loads(response.body) == {"message": message}


async def test_malformed_requests(tmp_path):
    path = tmp_path / "s"
    async with served(engine(), ENDPOINTS, path):
        for request, answer in (
            (b"GET /_ping HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"),
            (b"GET /%zz HTTP/1.1\r\nHost: d\r\n\r\n", "400 Bad Request"),
            (b"GET /_ping HTTP/1.1\r\nHost: d\r\nno colon here\r\n\r\n", "400 Bad Request"),
            (b"\x16\x03\x01\n\n", "400 Bad Request"),
        ):
            async with connected(path) as client:
                await client.send(request)
                response = await client.response()
                assert f"{response.status} {response.reason}" == answer
                assert response.body.decode() == answer
                assert response.headers == {
                    "Content-Type": "text/plain; charset=utf-8",
                    "Connection": "close",
                }


async def test_absolute_targets(tmp_path):
    response = await ask(
        tmp_path, {"system__ping": answering("OK")}, "GET", "http://docker/v1.41/_ping"
    )
    assert response.body == b"OK"


async def test_access_log_has_no_secrets(tmp_path, capsys):
    await ask(
        tmp_path, {"list": answering([])}, "GET", "/things/json?limit=1&token=secret",
        "X-Registry-Auth: secret",
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "/things/json" in said
    assert "secret" not in said
