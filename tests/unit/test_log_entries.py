from hypothesis import given, settings
from hypothesis import strategies as st

from palan.engine.logdrivers.entry import Entry, EntryParser


STAMP = b"2026-11-23T13:00:00.%09d+00:00 "
EPOCH = 1_795_438_800 * 10**9


def record(text, stream="stdout", *, whole=True, at=0):
    return STAMP % at + b"%s %s " % (stream.encode(), b"F" if whole else b"P") + text + b"\n"


def entries_of(data, cuts=(), position=0, skip=0):
    parser = EntryParser(position, skip)
    found, start = [], 0
    for cut in (*sorted(cuts), len(data)):
        found += parser.feed(data[start:cut])
        start = max(start, cut)
    return found + parser.finish()


def texts(entries):
    return [(e.source, e.line) for e in entries]


def test_lines_have_time_and_stream():
    data = record(b"one", at=5) + record(b"two", "stderr", at=7) + record(b"")
    assert entries_of(data) == [
        Entry(EPOCH + 5, "stdout", b"one"),
        Entry(EPOCH + 7, "stderr", b"two"),
        Entry(EPOCH, "stdout", b""),
    ]


def test_pieces_of_a_line_are_joined():
    data = (
        record(b"a", whole=False)
        + record(b"x", "stderr", whole=False)
        + record(b"b")
        + record(b"y", "stderr")
        + record(b"rest", whole=False)
    )
    assert texts(entries_of(data)) == [("stdout", b"ab"), ("stderr", b"xy"), ("stdout", b"rest")]


def test_long_lines_come_in_pieces():
    pieces = [bytes([65 + n]) * 8192 for n in range(5)]
    data = b"".join(record(piece, whole=False) for piece in pieces) + record(b"end")
    found = entries_of(data)
    assert b"".join(e.line for e in found) == b"".join(pieces) + b"end"
    partials = [e.partial for e in found]
    assert [(p.ordinal, p.last) for p in partials] == [(1, False), (2, False), (3, True)]
    assert len({p.id for p in partials}) == 1
    assert all(len(e.line) <= 16384 for e in found)
    (one,) = entries_of(record(b"z" * 16384))
    assert one.partial is None


def test_torn_records_are_left_out():
    assert entries_of(b"rubbish\n" + record(b"fine") + b"2026 x\n\n") == [
        Entry(EPOCH, "stdout", b"fine")
    ]


def test_a_record_after_one_that_was_cut_off_is_an_entry():
    later = record(b"later").replace(b"13:00:00", b"13:00:01")
    found = entries_of(record(b"cut off")[:-4] + later)
    assert [entry.line for entry in found] == [b"cut ", b"later"]
    assert [entry.time for entry in found] == [EPOCH, EPOCH + 10**9]


records = st.lists(
    st.builds(
        record,
        st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")),
        st.sampled_from(["stdout", "stderr"]),
        whole=st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=150)
@given(records, st.lists(st.integers(0, 900), max_size=5))
def test_it_does_not_matter_how_the_log_is_cut(parts, cuts):
    data = b"".join(parts)
    assert texts(entries_of(data, cuts)) == texts(entries_of(data))


@settings(max_examples=150)
@given(records, st.integers(0, 900))
def test_another_parser_continues_after_the_first(parts, cut):
    data = b"".join(parts)
    first = EntryParser(0)
    before = first.feed(data[:cut])
    position, skip = first.resume
    after = entries_of(data[position:], position=position, skip=skip)
    assert texts(before) + texts(after) == texts(entries_of(data))
