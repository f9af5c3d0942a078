from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from palan.api.frames import STDERR, STDIN, STDOUT, SYSTEM, FrameDecoder, frame


FRAMES = st.lists(
    st.tuples(st.sampled_from([STDIN, STDOUT, STDERR, SYSTEM]), st.binary(max_size=40)), max_size=8
)


def test_a_frame_is_a_header_of_eight_bytes_and_the_data():
    assert frame(STDERR, b"abc") == b"\x02\x00\x00\x00\x00\x00\x00\x03abc"
    assert frame(STDOUT, b"") == b"\x01" + bytes(7)


def test_the_length_is_big_endian():
    assert frame(STDOUT, bytes(0x010203))[:8] == b"\x01\0\0\0\x00\x01\x02\x03"


@given(FRAMES, st.lists(st.integers(0, 400), max_size=10))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames, cuts):
    data = b"".join(frame(stream, payload) for stream, payload in frames)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    decoder = FrameDecoder()
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert [found for piece in pieces for found in decoder.feed(piece)] == frames
    assert decoder.pending == 0


@given(FRAMES, st.binary(max_size=20))
def test_incomplete_frames_are_held(frames, payload):
    decoder = FrameDecoder()
    last = frame(STDOUT, payload)
    data = b"".join(frame(*each) for each in frames) + last[:-1]
    assert list(decoder.feed(data)) == frames
    assert decoder.pending == len(last) - 1
    assert list(decoder.feed(last[-1:])) == [(STDOUT, payload)]
