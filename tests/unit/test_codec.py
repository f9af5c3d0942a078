import json
from base64 import urlsafe_b64encode
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api import UNSET, Filters, Group, Header, Message, Request, Unset, Version
from palan.api.codec import BodyKind, body_kind, decode_request, encode, split_query
from palan.api.errors import InvalidParameter
from palan.api.registry import endpoints
from palan.api.results import NO_CONTENT, ByteSource, Json


NEWEST = Version(1, 55)
JSON = {"content-type": "application/json"}

group = Group("things", "Things.")


class Color(Enum):
    RED = "red"


class Inner(Message):
    name: str = ""
    number: int = 7
    more: "Inner | None" = None


class Body(Message):
    text: str
    flag: bool = False
    number: int | Unset = UNSET
    ratio: float = 0
    inner: Inner = msgspec.field(default_factory=Inner)
    inners: list[Inner] = msgspec.field(default_factory=list)
    words: list[str] | None = None
    command: Annotated[list[str] | None, "a mark"] = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    ports: dict[str, dict[str, Any]] | None = None
    size: tuple[int, int] = (0, 0)
    data: bytes = b""
    io_maximum: int = msgspec.field(name="IOMaximum", default=0)
    anything: Any = None
    either: int | list[str] = 0
    color: Color = Color.RED
    kind: Literal["a", "b"] = "a"
    small: Annotated[int, msgspec.Meta(le=10)] = 0


@group.endpoint("POST", "/things/{id}", operation="change", result=NO_CONTENT)
class Change(Request):
    id: str
    body: Body
    all: bool = False
    on: bool = True
    limit: int = 5
    t: int | None = None
    names: list[str] = msgspec.field(default_factory=list)
    dashed: bool = msgspec.field(name="one-shot", default=False)
    filters: Filters = msgspec.field(default_factory=Filters)
    options: dict[str, str] | None = None
    ratio: float = 1.0
    auth: Annotated[str, Header("X-Auth")] = ""
    credentials: Annotated[Inner | None, Header("X-Credentials")] = None


@group.endpoint("PUT", "/things/{id}", operation="put", result=NO_CONTENT)
class Put(Request):
    id: str
    size: int
    title: str
    body: ByteSource


@group.endpoint("GET", "/things", operation="list", result=Json(list[Inner]))
class List(Request):
    pass


@group.endpoint("POST", "/things/maybe", operation="maybe", result=NO_CONTENT)
class Maybe(Request):
    body: Inner | None = None


CHANGE, PUT, LIST, MAYBE = group.endpoints
ENDPOINTS = {one.name: one for one in endpoints()}


def change(query="", body=b'{"Text":"x"}', headers=JSON, endpoint=CHANGE, **path) -> Any:
    return decode_request(
        endpoint,
        path=path or {"id": "1"},
        query=split_query(query),
        headers=headers,
        body=body,
        version=NEWEST,
    )


def read(**fields) -> Any:
    return change(body=json.dumps({"Text": "x", **fields}).encode()).body


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(InvalidParameter) as caught:
        call(*args, **kwargs)
    return caught.value.message


# ---- queries ------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", "0", "no", "false", "none", "False", "NONE", " no "])
def test_words_that_are_false(word):
    assert change(f"all={word}").all is False
    assert change(f"on={word}").on is False


@pytest.mark.parametrize("word", ["1", "true", "yes", "maybe", "f", "off", "2"])
def test_every_other_word_is_true(word):
    assert change(f"all={word}").all is True


def test_absence_gives_defaults():
    request = change()
    assert (request.all, request.on, request.limit, request.t) == (False, True, 5, None)
    assert not request.filters
    assert change("limit=&t=").limit == 5
    assert change("limit=&t=").t is None


def test_values_of_a_query():
    request = change(
        "limit=-3&t=%2B4&names=a&names=b+c&one-shot=1&ratio=.5"
        "&filters=%7B%22label%22:%5B%22a=b%22%5D%7D&options=%7B%22a%22:%22b%22%7D&unknown=1"
    )
    assert (request.limit, request.t, request.names) == (-3, 4, ["a", "b c"])
    assert request.dashed
    assert request.ratio == 0.5
    assert request.filters.get("label") == ["a=b"]
    assert request.options == {"a": "b"}


def test_the_first_of_several_counts():
    assert change("limit=1&limit=2").limit == 1


@pytest.mark.parametrize("text", ["few", "1.0", "0x1", "1_000", "\u0661", " 1", "--1", "+"])
def test_invalid_numbers(text):
    message = refused(change, f"limit={text.replace('+', '%2B')}")
    assert (
        message == f"strconv.Atoi: parsing {json.dumps(text, ensure_ascii=False)}: invalid syntax"
    )


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "1" * 5000])
def test_numbers_beyond_64_bits(text):
    assert refused(change, f"t={text}") == f'strconv.Atoi: parsing "{text}": value out of range'


def test_required_parameters_are_read_as_empty():
    assert refused(change, "", None, endpoint=PUT) == 'strconv.Atoi: parsing "": invalid syntax'
    assert change("size=1", None, endpoint=PUT).title == ""


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("all=1;limit=1", "invalid semicolon separator in query"),
        ("a=%zz", 'invalid URL escape "%zz"'),
        ("a=%z", 'invalid URL escape "%z"'),
        ("%=1", 'invalid URL escape "%"'),
    ],
)
def test_malformed_queries(query, message):
    assert refused(split_query, query) == message


def test_split_query():
    assert split_query("a=1&&b&a=%32+3&=x&c=d=e") == {
        "a": ["1", "2 3"], "b": [""], "": ["x"], "c": ["d=e"],
    }  # fmt: skip
    assert split_query("") == {}
    assert split_query("a=%ff") == {"a": ["\ufffd"]}


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126)))
def test_any_query_is_split_or_refused(text):
    try:
        values = split_query(text)
    except InvalidParameter:
        return
    json.dumps(values).encode()


@pytest.mark.parametrize("text", ["{", "5", '{"a":5}', "[" * 60000, "1e999", '{"a":{"b":1}}'])
def test_invalid_filters(text):
    message = refused(lambda: decode_request(
        CHANGE, path={"id": "1"}, query={"filters": [text]}, headers=JSON,
        body=b'{"Text":""}', version=NEWEST,
    ))  # fmt: skip
    assert message == "invalid filter"


# ---- messages of errors ---------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "query", "message"),
    [
        ("containers.resize", "h=tall&w=1", 'invalid resize height "tall": invalid syntax'),
        ("containers.resize", "", 'invalid resize height "": invalid syntax'),
        ("exec.resize", "h=1&w=x", 'invalid resize width "x": invalid syntax'),
        ("containers.resize", "h=-100&w=1", 'invalid resize height "-100": value out of range'),
        (
            "exec.resize",
            "h=1&w=4294967296",
            'invalid resize width "4294967296": value out of range',
        ),
        ("containers.list", "limit=few", 'strconv.Atoi: parsing "few": invalid syntax'),
        ("plugins.enable", "", 'strconv.Atoi: parsing "": invalid syntax'),
        (
            "swarm.update",
            "version=new",
            "invalid swarm version 'new': strconv.ParseUint: parsing \"new\": invalid syntax",
        ),
        ("secrets.update", "version=new", "invalid secret version"),
        ("swarm.update", "version=1&rotateManagerToken=maybe", None),
        (
            "build.prune",
            "keep-storage=lots",
            (
                "keep-storage is in bytes and expects an integer, got lots: "
                'strconv.Atoi: parsing "lots": invalid syntax'
            ),
        ),
        ("containers.archive_get", "", "bad parameter: path cannot be empty"),
    ],
)
def test_wording_of_dockerd(operation, query, message):
    path = dict.fromkeys(ENDPOINTS[operation].path_parameters, "x")
    said = refused(change, query, b"", endpoint=ENDPOINTS[operation], **path)
    assert said == (message or "invalid value for rotateManagerToken: maybe")


# ---- bodies ---------------------------------------------------------------------


def test_keys_match_in_any_case():
    body = read(NUMBER=1, flag=True, iomaximum=3, labels={"Key": "v"})
    assert (body.number, body.flag, body.io_maximum) == (1, True, 3)
    assert body.labels == {"Key": "v"}


def test_null_and_absence_give_defaults():
    body = read(Flag=None, Number=None, Inner=None, Words=None, Size=None, Text=None)
    assert body == Body(text="")
    assert body.number is UNSET


def test_unknown_keys_are_ignored():
    assert read(Unknown=[1], text2=5) == Body(text="x")


def test_nested_values():
    body = read(
        Inner={"More": {"Number": 1}}, Inners=[{"Name": "a"}, None], Command=["run me"],
        Ports={"80/tcp": {}, "90": None}, Size=[1], Data="aGk=", Words=[], Ratio=2,
        Either=["x"], Color="red", Kind="b", Small=10, Anything={"a": [1]},
    )  # fmt: skip
    assert body.inner.more == Inner(number=1)
    assert body.inners == [Inner(name="a"), Inner()]
    assert body.command == ["run me"]
    assert body.ports == {"80/tcp": {}, "90": {}}
    assert body.size == (1, 0)
    assert body.data == b"hi"
    assert body.words == []
    assert body.ratio == 2.0
    assert (body.either, body.color, body.kind, body.small) == (["x"], Color.RED, "b", 10)
    assert body.anything == {"a": [1]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Text": 5}, "number into Go struct field .Text of type string"),
        ({"Flag": "yes"}, "string into Go struct field .Flag of type bool"),
        ({"Flag": 1}, "number into Go struct field .Flag of type bool"),
        ({"Number": "1g"}, "string into Go struct field .Number of type int64"),
        ({"Number": True}, "bool into Go struct field .Number of type int64"),
        ({"Number": 1.5}, "number 1.5 into Go struct field .Number of type int64"),
        (
            {"Number": 2**64},
            "number 18446744073709551616 into Go struct field .Number of type int64",
        ),
        ({"Ratio": "x"}, "string into Go struct field .Ratio of type float64"),
        ({"Words": "A=1"}, "string into Go struct field .Words of type []string"),
        ({"Words": [5]}, "number into Go struct field .Words of type string"),
        ({"Command": 5}, "number into Go struct field .Command of type []string"),
        ({"Labels": ["a"]}, "array into Go struct field .Labels of type map[string]string"),
        ({"Labels": {"a": 5}}, "number into Go struct field .Labels of type string"),
        ({"Ports": ["80"]}, "array into Go struct field .Ports of type map[string]struct {}"),
        ({"Inner": []}, "array into Go struct field .Inner of type Inner"),
        (
            {"inner": {"more": {"number": "x"}}},
            "string into Go struct field .Inner.More.Number of type int64",
        ),
        ({"Inners": {"a": 1}}, "object into Go struct field .Inners of type []Inner"),
        ({"Size": 5}, "number into Go struct field .Size of type [2]int64"),
        (
            {"Data": "!!"},
            (
                "string into Go struct field .Data of type []uint8: "
                "illegal base64 data at input byte 0"
            ),
        ),
        ({"Data": 1}, "number into Go struct field .Data of type []uint8"),
    ],
)
def test_wrong_types_are_named(fields, message):
    assert refused(read, **fields) == f"invalid JSON: json: cannot unmarshal {message}"


@pytest.mark.parametrize("fields", [{"Color": "mauve"}, {"Kind": "c"}, {"Small": 11}])
def test_values_outside_of_the_allowed(fields):
    assert refused(read, **fields).startswith(f"invalid JSON: .{next(iter(fields))}: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "invalid JSON: json: cannot unmarshal array into Go value of type Body"),
        (b'"x"', "invalid JSON: json: cannot unmarshal string into Go value of type Body"),
        (b'{"Text":', "invalid JSON: unexpected EOF"),
        (b"{}{}", "unexpected content after JSON"),
        (b"  ", "invalid JSON: EOF"),
        (b'{"Text":"\xff"}', "invalid JSON: invalid UTF-8 in a string"),
        (b"[" * 100000, "invalid JSON: exceeded max depth"),
        (
            b'{"Anything":' + b"[" * 500 + b"]" * 500 + b"}",
            "invalid JSON: exceeded max depth in .Anything",
        ),
    ],
)
def test_invalid_bodies(body, message):
    assert refused(change, body=body) == message


@pytest.mark.parametrize("body", [b"W", b"{'a':1}", b'{"Number":1e400}', b'"\\ud800"', b"9" * 9999])
def test_other_nonsense_is_refused(body):
    assert "JSON" in refused(change, body=body)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        change(body=data)
    except InvalidParameter as error:
        error.message.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(Body.__struct_encode_fields__)), json_values))
def test_any_values_are_taken_or_refused(fields):
    try:
        body = change(body=json.dumps(fields).encode()).body
    except InvalidParameter:
        return
    msgspec.json.encode(body)


def test_content_types():
    typed = {"content-type": "Application/JSON; charset=utf-8"}
    assert change(headers=typed).body.text == "x"
    assert refused(change, headers={}) == ("malformed Content-Type header (): mime: no media type")
    assert refused(change, headers={"content-type": "text/plain"}) == (
        "unsupported Content-Type header (text/plain): must be 'application/json'"
    )


def test_bodies_that_are_absent():
    assert change(body=b"", endpoint=MAYBE).body is None
    assert change(body=b"null", endpoint=MAYBE).body is None
    assert change(body=b"", headers={}).body == Body(text="")
    create = ENDPOINTS["containers.create"]
    assert refused(change, body=b"", endpoint=create) == "invalid JSON: EOF"
    assert refused(change, body=None, endpoint=create) == "invalid JSON: EOF"
    assert change(body=b"null", endpoint=create).body.image == ""


def test_auth_speaks_of_a_header():
    auth = ENDPOINTS["system.auth"]
    prefix = "invalid X-Registry-Auth header: invalid JSON: "
    assert refused(change, body=b"", endpoint=auth) == prefix + "EOF"
    assert refused(change, body=b"{", endpoint=auth) == prefix + "unexpected EOF"
    assert refused(change, body=b'{"username":5}', endpoint=auth).startswith(prefix)


def test_kinds_of_bodies():
    assert body_kind(CHANGE) == BodyKind.JSON
    assert body_kind(PUT) == BodyKind.STREAM
    assert body_kind(LIST) == BodyKind.NONE

    async def chunks():
        yield b"x"

    stream = chunks()
    assert change("size=1", stream, endpoint=PUT).body is stream


def test_headers():
    raw = urlsafe_b64encode(b'{"Name":"me?>"}').decode()
    request = change(headers={**JSON, "x-auth": "abc", "x-credentials": raw.rstrip("=")})
    assert request.auth == "abc"
    assert request.credentials == Inner(name="me?>")
    for bad in ("!", "", "bm9uc2Vuc2U", "e30x"):
        assert change(headers={**JSON, "x-credentials": bad}).credentials is None


# ---- versions and responses -------------------------------------------------------


def test_older_versions_are_lifted():
    # Below 1.42, named volumes are pruned too.
    prune = ENDPOINTS["volumes.prune"]
    request = decode_request(
        prune, path={}, query={}, headers={}, body=None, version=Version(1, 41)
    )
    assert request.filters.get("all") == ["true"]  # type: ignore[attr-defined] # of that request


def test_notices_go_to_the_warnings():
    value = {"Id": "1", "Warnings": ["a"]}
    data = encode(LIST, value, NEWEST, ["b"])
    assert json.loads(data) == {"Id": "1", "Warnings": ["a", "b"]}


def test_maps_are_in_order_and_lines_end():
    assert encode(LIST, {"b": 1, "a": Inner(name="n")}, NEWEST) == (
        b'{"a":{"Name":"n","Number":7,"More":null},"b":1}\n'
    )


def test_names_with_invalid_utf8_can_be_encoded():
    data = encode(LIST, [Inner(name="\udcff")], NEWEST)
    assert json.loads(data) == [{"Name": "\ufffd", "Number": 7, "More": None}]


def test_all_requests_of_the_contract_can_be_made():
    for endpoint in ENDPOINTS.values():
        kind = body_kind(endpoint)
        body = b"{}" if kind == BodyKind.JSON else None
        if "list" in str(endpoint.body):
            body = b"[]"
        needed = {"version": ["1"], "h": ["1"], "w": ["1"], "timeout": ["1"], "path": ["/"]}
        request = decode_request(
            endpoint,
            path=dict.fromkeys(endpoint.path_parameters, "x"),
            query=needed,
            headers=JSON,
            body=body,
            version=NEWEST,
        )
        assert isinstance(request, endpoint.request)


# ---- dockerd's names in messages ---------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("containers.create", b"[]", "array into Go value of type container.CreateRequest"),
        (
            "containers.create", b'{"HostConfig": []}',
            "array into Go struct field .HostConfig of type container.HostConfig",
        ),
        (
            "containers.create", b'{"StopTimeout": 1.5}',
            "number 1.5 into Go struct field .StopTimeout of type int",
        ),
        (
            "containers.create", b'{"ExposedPorts": ["80"]}',
            "array into Go struct field .ExposedPorts of type map[network.Port]struct {}",
        ),
        (
            "containers.create", b'{"Cmd": "true"}',
            "string into Go struct field .Cmd of type []string",
        ),
        (
            "exec.create", b'{"Cmd": "true"}',
            "string into Go struct field ExecCreateRequest.Cmd of type []string",
        ),
        (
            "networks.create", b'{"IPAM": []}',
            "array into Go struct field CreateRequest.IPAM of type network.IPAM",
        ),
        (
            "secrets.create", b'{"Data": "-"}',
            """string into Go struct field SecretSpec.Data of type []uint8: illegal base64 data\
 at input byte 0""",
        ),
    ],
)  # fmt: skip
def test_messages_have_the_names_that_dockerd_gives_things(operation, body, message):
    endpoint = next(e for e in endpoints() if e.name == operation)
    with pytest.raises(InvalidParameter) as raised:
        decode_request(
            endpoint,
            path=dict.fromkeys(endpoint.path_parameters, "x"),
            query={},
            headers={"content-type": "application/json"},
            body=body,
            version=NEWEST,
        )
    assert raised.value.message == f"invalid JSON: json: cannot unmarshal {message}"
