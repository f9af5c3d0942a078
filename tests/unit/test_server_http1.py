import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.server.http1 import (
    MAX_HEAD,
    ProtocolError,
    RequestReader,
    chunk,
    error_response,
    response_head,
)


def events(pieces):
    """Return all events that a parser finds in a connection with these chunks."""
    reader = RequestReader()
    found: list[tuple[object, ...]] = []
    body = None

    def look():
        nonlocal body
        while True:
            if body is None:
                head = reader.next_head()
                if head is None:
                    return
                found.append(("head", head.method, head.target, head.keep_alive))
                body = b""
            while data := reader.next_data():
                body += data
            if not reader.body_complete:
                return
            found.append(("body", body))
            body = None

    try:
        for piece in pieces:
            reader.receive(piece)
            look()
    except ProtocolError as error:
        found.append(("error", error.status, error.detail))
        return found, body
    return found, body, reader.detach()


def one(data):
    reader = RequestReader()
    reader.receive(data)
    head = reader.next_head()
    assert head is not None
    return head


def refusal(data):
    with pytest.raises(ProtocolError) as caught:
        one(data)
    return caught.value.status


CONVERSATIONS = [
    b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n" * 3,
    (
        b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhello"
        b"POST /b HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
        b"DELETE /c HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\nrest"
    ),
    (
        b"POST /a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n00a;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
        b"GET /b HTTP/1.0\r\n\r\n"
    ),
    b"POST /a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    b"GET /a HTTP/1.1\r\nHost: d\r\n\r\nNONSENSE\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    b"POST /x/attach HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
]


@given(st.sampled_from(CONVERSATIONS), st.lists(st.integers(0, 300), max_size=20))
def test_cuts_make_no_difference(conversation, cuts):
    places = sorted({min(cut, len(conversation)) for cut in cuts} | {0, len(conversation)})
    pieces = [conversation[a:b] for a, b in itertools.pairwise(places)]
    assert events(pieces) == events([conversation])


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_byte_by_byte(conversation):
    assert events([bytes([b]) for b in conversation]) == events([conversation])


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_nothing_but_protocol_errors(pieces):
    events(pieces)


@given(
    st.lists(
        st.sampled_from(
            [
                b"GET ", b"POST ", b"/", b" HTTP/1.1", b"\r\n", b"\n", b"Host: d", b":", b" ",
                b"Content-Length: ", b"Transfer-Encoding: chunked", b"5", b"-1", b"0\r\n", b"\x00",
                b"\xff", b"Connection: Upgrade", b"Upgrade: tcp", b"\r", b"Expect: 100-continue",
            ]
        ),
        max_size=40,
    )
)  # fmt: skip
def test_nothing_but_protocol_errors_from_near_misses(parts):
    events([b"".join(parts)])


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=8), st.integers(1, 700))
def test_chunked_bodies_come_out_whole(parts, step):
    raw = b"POST /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"".join(chunk(part) for part in parts) + chunk(b"") + b"after"
    found, body, rest = events([raw[i : i + step] for i in range(0, len(raw), step)])
    assert found == [("head", "POST", "/x", True), ("body", b"".join(parts))]
    assert body is None
    assert rest == b"after"


def test_head_is_all_there():
    head = one(
        b"POST /v1.41/auth?x=y HTTP/1.1\r\nHOST: docker\r\nX-Registry-Auth:  abc  \r\n"
        b"Accept: a\r\nAccept: b\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (head.method, head.target) == ("POST", "/v1.41/auth?x=y")
    assert head.headers["x-registry-auth"] == "abc"
    assert head.headers["accept"] == "a"
    assert head.content_length == 7
    assert head.has_body
    assert head.expects_continue
    assert head.keep_alive


@pytest.mark.parametrize(
    ("lines", "alive"),
    [
        ("HTTP/1.1\r\nHost: d", True),
        ("HTTP/1.1\r\nHost: d\r\nConnection: close", False),
        ("HTTP/1.1\r\nHost: d\r\nConnection: Upgrade, Close", False),
        ("HTTP/1.0", False),
        ("HTTP/1.0\r\nConnection: Keep-Alive", True),
    ],
)
def test_connections_that_are_kept_alive(lines, alive):
    assert one(f"GET / {lines}\r\n\r\n".encode()).keep_alive is alive


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET / HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
        ("GET /\r\nHost: a\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n", 505),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: gold\r\n", 417),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            400,
        ),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n", 501),
    ],
)
def test_refused_heads(request_, status):
    assert refusal(f"{request_}\r\n".encode()) == status


@pytest.mark.parametrize(
    "encoding",
    ["gzip, chunked", "chunked, chunked", "xchunked", "chunked\r\nTransfer-Encoding: identity"],
)
def test_no_encoding_but_chunked(encoding):
    status = refusal(
        f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {encoding}\r\n\r\n".encode()
    )
    assert status in (400, 501)


@pytest.mark.parametrize("end", [b"\n\n", b"\n\r\n"])
def test_bare_line_feeds_are_refused(end):
    assert refusal(b"GET / HTTP/1.1\nHost: a" + end) == 400


def test_any_token_is_a_method():
    assert one(b"get / HTTP/1.1\r\nHost: d\r\n\r\n").method == "get"
    assert one(b"FROBNICATE / HTTP/1.1\r\nHost: d\r\n\r\n").method == "FROBNICATE"
    assert refusal(b"G\x01T / HTTP/1.1\r\nHost: d\r\n\r\n") == 400


def test_heads_have_a_limit():
    reader = RequestReader()
    reader.receive(b"GET / HTTP/1.1\r\nHost: d\r\nX: " + b"a" * MAX_HEAD)
    with pytest.raises(ProtocolError) as caught:
        reader.next_head()
    assert caught.value.status == 431
    assert refusal(b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: d\r\n\r\n") == 431


def test_lines_of_chunks_have_a_limit():
    for evil in (b"1;" + b"x" * 5000, b"0\r\n" + b"T: x\r\n" * 5000, b"0\r\nT:" + b"x" * 20000):
        found, _ = events(
            [b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n" + evil]
        )
        assert found[-1][:2] == ("error", 400)


@pytest.mark.parametrize("size", ["", "g", "-1", "0x5", " 5", "5\n", "fffffffffffffffff", "+1"])
def test_malformed_sizes_of_chunks(size):
    found, _ = events(
        [
            b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n",
            f"{size}\r\nhello\r\n".encode(),
        ]
    )
    assert found[-1][:2] == ("error", 400)


def test_bytes_after_the_body_are_not_consumed():
    reader = RequestReader()
    reader.receive(b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}\x00raw")
    reader.next_head()
    assert reader.body_remaining == 2
    assert reader.next_data() == b"{}"
    assert reader.body_complete
    assert reader.next_data() == b""
    assert reader.detach() == b"\x00raw"
    assert reader.buffered == 0


def test_values_cannot_begin_a_header():
    head = response_head(200, [("A", "x\r\nEvil: 1"), ("B", "\u2713")])
    assert head == b"HTTP/1.1 200 OK\r\nA: x  Evil: 1\r\nB: ?\r\n\r\n"


def test_errors_look_like_those_of_go():
    assert error_response(ProtocolError(400, "missing required Host header")) == (
        b"HTTP/1.1 400 Bad Request: missing required Host header\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
        b"400 Bad Request: missing required Host header"
    )
    assert re.match(rb"HTTP/1.1 431 ", error_response(ProtocolError(431)))
