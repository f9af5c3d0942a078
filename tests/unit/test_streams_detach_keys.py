import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import InvalidParameter
from palan.engine.streams import DEFAULT_KEYS, DetachKeys, parse_keys


def test_parse():
    assert parse_keys("") == DEFAULT_KEYS == b"\x10\x11"
    assert parse_keys("ctrl-a,x") == b"\x01x"
    assert parse_keys("a") == b"a"
    assert parse_keys("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,DEL") == bytes(
        [0, 27, 28, 29, 30, 31, 127]
    )


@pytest.mark.parametrize("text", ["ctrl-bogus", "ctrl-", "ctrl-A", "a,", ",", "ab", "é"])
def test_parse_refuses(text):
    with pytest.raises(InvalidParameter) as caught:
        parse_keys(text)
    assert caught.value.message == f"Invalid detach keys ({text}) provided"


def test_words_of_exec():
    with pytest.raises(InvalidParameter, match=r"Invalid escape keys \(xx\) provided"):
        parse_keys("xx", what="escape keys")


def test_held_back_until_clear():
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"a\x10") == b"a"
    assert keys.feed(b"b") == b"\x10b"
    assert keys.feed(b"\x10") == b""
    assert keys.feed(b"\x10") == b"\x10"
    assert keys.feed(b"\x11rest") == b""
    assert keys.pressed
    assert keys.feed(b"more") == b""


def test_without_keys():
    keys = DetachKeys(b"")
    assert keys.feed(b"\x10\x11") == b"\x10\x11"
    assert not keys.pressed


@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("abc", max_size=5), max_size=8))
def test_keys_are_recognised_in_any_chunks(keys, parts):
    whole = "".join(parts)
    detector = DetachKeys(keys.encode())
    passed = b"".join(detector.feed(part.encode()) for part in parts).decode()
    at = whole.find(keys)
    if at >= 0:
        assert detector.pressed
        assert passed == whole[:at]
    else:
        assert not detector.pressed
        assert whole.startswith(passed)
        rest = whole[len(passed) :]
        assert keys.startswith(rest)
        assert len(rest) < len(keys)
