from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.frames import STDERR, STDOUT, FrameDecoder
from palan.engine.streams.logfile import (
    LONGEST,
    PREFIX,
    LogFramer,
    LogOptions,
    record_time,
    split_records,
)


BASE = 1_795_438_800  # 2026-11-23T13:00:00Z
NAMES = {STDOUT: b"stdout", STDERR: b"stderr"}


def record(stream, text, *, whole=True, at=0):
    moment = datetime.fromtimestamp(BASE + at // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    head = f"{moment}.{at % 10**9:09d}+00:00 ".encode() + NAMES[stream]
    return head + (b" F " if whole else b" P ") + text + b"\n"


def frames(data):
    decoder = FrameDecoder()
    found = list(decoder.feed(data))
    assert not decoder.pending
    return found


def run(data, *, cuts=(), skip=0, **options):
    framer = LogFramer(LogOptions(**options), skip=skip)
    edges = [0, *sorted(cuts), len(data)]
    parts = [framer.feed(data[a:b]) for a, b in pairwise(edges)]
    return b"".join(parts) + framer.finish()


def test_lines_are_frames():
    data = record(STDOUT, b"one") + record(STDERR, b"two") + record(STDOUT, b"")
    assert frames(run(data)) == [(1, b"one\n"), (2, b"two\n"), (1, b"\n")]
    assert frames(run(data, stderr=False)) == [(1, b"one\n"), (1, b"\n")]
    assert frames(run(data, stdout=False)) == [(2, b"two\n")]
    assert run(data, tty=True) == b"one\ntwo\n\n"


def test_only_one_stream_in_the_block():
    data = record(STDOUT, b"one")
    assert run(data, stdout=False) == b""
    data = record(STDERR, b"one")
    assert run(data, stderr=False) == b""


def test_timestamps_and_details():
    data = record(STDOUT, b"one", at=1) + record(STDERR, b"two", at=10**9)
    assert frames(run(data, timestamps=True)) == [
        (1, b"2026-11-23T13:00:00.000000001Z one\n"),
        (2, b"2026-11-23T13:00:01.000000000Z two\n"),
    ]
    assert frames(run(data, details=b"A=b ")) == [(1, b"A=b one\n"), (2, b"A=b two\n")]
    assert run(data, timestamps=True, details=b" ", tty=True, stderr=False) == (
        b"2026-11-23T13:00:00.000000001Z  one\n"
    )


def test_other_time_zones():
    data = record(STDOUT, b"one").replace(b"+00:00", b"+02:00")
    assert run(data, tty=True, timestamps=True) == b"2026-11-23T11:00:00.000000000Z one\n"
    assert record_time(data) == (BASE - 7200) * 10**9


def test_pieces_are_joined():
    data = (
        record(STDOUT, b"a", whole=False)
        + record(STDERR, b"x", whole=False)
        + record(STDOUT, b"b", whole=False)
        + record(STDERR, b"y")
        + record(STDOUT, b"c", at=5)
        + record(STDOUT, b"end", whole=False)
    )
    assert frames(run(data)) == [(2, b"xy\n"), (1, b"abc\n"), (1, b"end")]
    assert run(data, tty=True, timestamps=True, stderr=False) == (
        b"2026-11-23T13:00:00.000000005Z abc\n2026-11-23T13:00:00.000000000Z end"
    )


def test_long_lines_come_in_pieces():
    piece = b"z" * 8192
    data = record(STDOUT, piece, whole=False) * 5 + record(STDOUT, b"", at=1)
    found = frames(run(data, timestamps=True))
    assert len(found) == 3
    assert all(len(text) >= LONGEST for _, text in found[:2])
    assert b"".join(text for _, text in found).partition(b" ")[2] == piece * 5 + b"\n"
    assert sum(text.count(b"2026") for _, text in found) == 1


def test_since_and_until():
    data = b"".join(record(STDOUT, b"%d" % i, at=i * 10**9) for i in range(6))
    since, until = (BASE + 2) * 10**9, (BASE + 4) * 10**9
    assert run(data, tty=True, since=since) == b"2\n3\n4\n5\n"
    assert run(data, tty=True, until=until) == b"0\n1\n2\n3\n4\n"
    assert run(data, tty=True, since=since, until=until, cuts=(100,)) == b"2\n3\n4\n"
    framer = LogFramer(LogOptions(until=until))
    framer.feed(data)
    assert framer.done
    assert framer.feed(data) == b""
    assert run(data, tty=True, since=(BASE + 9) * 10**9) == b""


def test_skip_keeps_beginnings_only():
    first, second = record(STDOUT, b"old"), record(STDOUT, b"be", whole=False)
    data = first + second + record(STDERR, b"err") + record(STDOUT, b"gin")
    skip = len(data) - len(record(STDOUT, b"gin"))
    assert frames(run(data, skip=skip)) == [(1, b"begin\n")]


def test_torn_and_foreign_lines_are_passed_over():
    good = record(STDOUT, b"good")
    for bad in (b"\n", b"short\n", good[:20] + b"\n"):
        assert run(good + bad + good, tty=True) == b"good\ngood\n"
        assert run(good + bad + good, tty=True, since=1) == b"good\ngood\n"
    assert run(good + good[:30], tty=True) == b"good\n"


@pytest.mark.parametrize("stream", [STDOUT, STDERR])
@pytest.mark.parametrize("whole", [True, False])
def test_a_record_that_a_full_disk_has_cut_off_hides_no_other(stream, whole):
    before, after = record(STDOUT, b"before"), record(stream, b"after", at=5)
    cut = record(STDOUT, b"cut off", whole=whole, at=2)
    for length in range(len(cut)):
        data = before + cut[:length] + after + record(STDOUT, b"last", at=6)
        left = cut[PREFIX:length]
        shown = [b"before\n", *([left + b"\n"] if left else []), b"after\n", b"last\n"]
        assert b"".join(text for _, text in frames(run(data))) == b"".join(shown)
        assert run(data, stderr=True, tty=True, since=(BASE * 10**9) + 5) == b"after\nlast\n"


def test_text_that_looks_like_a_record_stays_text():
    inner = record(STDOUT, b"of another log", at=1)[:-1]
    for text in (inner, b"x " + inner, inner + inner, b" stdout F " * 3):
        data = record(STDOUT, text, at=1) + record(STDERR, text, at=2)
        assert frames(run(data)) == [(1, text + b"\n"), (2, text + b"\n")]
        assert split_records(data[: data.find(b"\n")]) == [data[: data.find(b"\n")]]


def test_record_time():
    assert record_time(record(STDOUT, b"x", at=123)) == BASE * 10**9 + 123
    assert record_time(b"") is None
    assert record_time(b"2026-11-23T13:00:00.12345678x+00:00 stdout F x") is None
    assert record_time(b"2026-11-23T13:00:00x123456789+00:00 stdout F x") is None
    assert record_time(b"\xff" * 50) is None


records = st.lists(
    st.tuples(
        st.sampled_from([STDOUT, STDERR]),
        st.one_of(
            st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")),
            st.sampled_from([b" stdout P ", b" stderr F ", b" stdout F x", b"a\rb"]),
        ),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=40,
)


@given(
    records,
    st.lists(st.integers(0, 3000), max_size=5),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_same_as_the_obvious_way(entries, cuts, flags):
    stdout, stderr, timestamps, details = flags
    lines = [record(s, text, whole=whole, at=i) for i, (s, text, whole) in enumerate(entries)]
    data = b"".join(lines)
    expected = []
    pending: dict[int, Any] = {}
    for i, (stream, text, whole) in enumerate(entries):
        if not (stdout if stream == STDOUT else stderr):
            continue
        at, before = pending.pop(stream, (i, b""))
        if whole:
            expected.append((i, stream, before + text + b"\n"))
        else:
            pending[stream] = (at if before else i, before + text)
    expected += [(at, stream, text) for stream, (at, text) in pending.items() if text]
    prefix = b"d=1 " if details else b""
    stamp = b"2026-11-23T13:00:00.%09dZ "
    wanted = [
        (stream, (stamp % at if timestamps else b"") + prefix + text)
        for at, stream, text in expected
    ]
    found = frames(
        run(
            data,
            cuts=[c for c in cuts if c < len(data)],
            stdout=stdout,
            stderr=stderr,
            timestamps=timestamps,
            details=prefix or None,
        )
    )
    assert sorted(found) == sorted(wanted)
    assert found[: len(expected) - len(pending)] == wanted[: len(expected) - len(pending)]


def test_pieces_among_whole_lines():
    lines = [b"a %d" % n for n in range(50)]
    data = b"".join(record(STDOUT, line) for line in lines)
    data += record(STDOUT, b"be", whole=False) + record(STDERR, b"x") + record(STDOUT, b"gun")
    data += record(STDOUT, b"says stdout P or stderr P ") + record(STDERR, b"y stdout P ")
    expected = [(1, line + b"\n") for line in lines] + [
        (2, b"x\n"),
        (1, b"begun\n"),
        (1, b"says stdout P or stderr P \n"),
        (2, b"y stdout P \n"),
    ]
    assert frames(run(data)) == expected
    assert frames(run(data + data)) == expected * 2
