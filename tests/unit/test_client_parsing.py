"""Parsing of frames, responses and lines, whatever the borders of the chunks."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palan.client import errors
from palan.client._frames import OutputDecoder
from palan.client._http1 import ResponseParser, request_head
from palan.client._lines import Lines


CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, place, turn = [], 0, 0
    while place < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[place : place + size])
        place, turn = place + size, turn + 1
    return pieces


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)), max_size=12), CUTS)
def test_frames_come_out_as_they_went_in(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    decoder = OutputDecoder(tty=False)
    wire = b"".join(frame(*one) for one in frames)
    outputs = [output for piece in cut(wire, sizes) for output in decoder.feed(piece)]
    names = {1: "stdout", 2: "stderr"}
    assert [(one.stream, byte) for one in outputs for byte in one.data] == [
        (names[stream], byte) for stream, data in frames for byte in data
    ]
    assert decoder.whole
    assert all(output.data for output in outputs)


def test_a_long_frame_is_not_held_back() -> None:
    decoder = OutputDecoder(tty=False)
    wire = frame(1, bytes(1 << 20))
    sizes = [len(one.data) for piece in cut(wire, [1 << 16]) for one in decoder.feed(piece)]
    assert max(sizes) <= 1 << 16
    assert sum(sizes) == 1 << 20


def test_an_error_within_a_stream_is_recognised() -> None:
    wire = frame(1, b"fine") + frame(3, b"the log is broken\n")
    for size in (5, 1000):
        decoder = OutputDecoder(tty=False)
        outputs = [output for piece in cut(wire, [size]) for output in decoder.feed(piece)]
        assert b"".join(output.data for output in outputs) == b"fine"
        assert decoder.failure is not None
        assert decoder.failure.message == "the log is broken"
    with pytest.raises(errors.ProtocolError, match="frames"):
        OutputDecoder(tty=False).feed(b"plain text of a terminal")


BODY = b'{"message": "of some length"}'
SIZED = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: x/y\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)
CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\n" + BODY[:5] + b"\r\n%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n"
)
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + BODY
HIJACKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n" + BODY


@settings(max_examples=60)
@given(st.sampled_from([SIZED, CHUNKED, UPGRADED, HIJACKED]), CUTS)
def test_answers_are_the_same_however_they_come(wire: bytes, sizes: list[int]) -> None:
    raw = wire in (UPGRADED, HIJACKED)
    answer = ResponseParser("POST", hijack=raw)
    body = b""
    for piece in cut(wire, sizes):
        answer.feed(memoryview(piece))
        while data := answer.take_body():
            body += data
    assert answer.status == int(wire.rsplit(b"HTTP/1.1 ", 1)[1][:3])
    assert body == BODY
    assert answer.complete is not raw
    assert answer.raw is raw
    assert answer.feed_eof()
    assert answer.reusable is not raw


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_an_error(data: bytes) -> None:
    answer = ResponseParser("GET")
    try:
        answer.feed(memoryview(data))
    except errors.ProtocolError:
        return
    answer.feed_eof()


def test_answers_without_a_body() -> None:
    for method, head in (
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("POST", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ):
        answer = ResponseParser(method)
        answer.feed(memoryview(head))
        assert answer.complete
        assert answer.reusable
        assert answer.take_body() == b""


def test_requests_cannot_be_split() -> None:
    for target, headers in (
        ("/a b", []),
        ("/a\r\nX: y", []),
        ("/a", [("X", "1\r\nY: 2")]),
        ("/ü", []),
    ):
        with pytest.raises(ValueError, match=r"."):
            request_head("GET", target, headers)
    assert request_head("GET", "/a", [("Host", "h")]) == b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


@settings(max_examples=60)
@given(st.lists(st.text("ab{}", min_size=1, max_size=20), max_size=8), CUTS, st.booleans())
def test_lines(texts: list[str], sizes: list[int], last_ended: bool) -> None:
    wire = "\r\n".join(texts).encode() + (b"\r\n" if last_ended else b"")
    lines = Lines()
    found = [line for piece in cut(wire, sizes) for line in lines.feed(piece)] + lines.end()
    assert [line.decode() for line in found] == texts
