"""Compressing in several threads gives one ordinary gzip stream."""

import gzip
import io
import os
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.images import sha256

from palan.host.archive import deflate
from palan.host.archive.deflate import gzip_stream


def compressed(data: bytes, size: int = 100_000) -> bytes:
    pieces: list[bytes] = []
    stream = io.BytesIO(data)
    made = gzip_stream(lambda: stream.read(size), pieces.append)
    output = b"".join(pieces)
    assert (made.plain_digest, made.digest) == (sha256(data), sha256(output))
    assert made.size == len(output)
    return output


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_500_000])
def test_it_is_one_gzip_stream(size):
    data = os.urandom(size // 2) + bytes(size - size // 2)
    output = compressed(data)
    assert gzip.decompress(output) == data
    stream = zlib.decompressobj(wbits=31)
    assert stream.decompress(output) == data
    assert (stream.eof, stream.unused_data) == (True, b"")


@settings(max_examples=20, deadline=None)
@given(data=st.binary(max_size=5000), size=st.integers(1, 5000))
def test_any_pieces_give_the_same_output(data, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflate, "_BLOCK", 1000)
        output = compressed(data, size)
        assert output == compressed(data)
    assert gzip.decompress(output) == data


def test_repetitions_across_blocks_are_found():
    block = os.urandom(30_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflate, "_BLOCK", 30_000)
        assert len(compressed(block * 20)) < 60_000


def test_few_blocks_are_held(monkeypatch):
    held = most = 0
    left = 100
    lock = threading.Lock()
    real = deflate._deflate

    def counted(block, before):
        with lock:
            nonlocal held
            held -= 1
        return real(block, before)

    def source() -> bytes:
        nonlocal held, most, left
        left -= 1
        with lock:
            held += 1
            most = max(most, held)
        return bytes(1 << 20) if left else b""

    monkeypatch.setattr(deflate, "_deflate", counted)
    gzip_stream(source, lambda _: None)
    assert most <= deflate._AHEAD + 2


def test_an_error_of_the_source_ends_it():
    pieces = iter([bytes(3 << 20)])

    def source() -> bytes:
        try:
            return next(pieces)
        except StopIteration:
            raise ConnectionAbortedError from None

    with pytest.raises(ConnectionAbortedError):
        gzip_stream(source, lambda _: None)
