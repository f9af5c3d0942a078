import signal

import pytest

from palan.api.errors import InvalidParameter
from palan.engine.signals import parse_signal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGKILL", 9), ("kill", 9), ("9", 9), ("SigTerm", 15), ("WINCH", 28), ("SIGRTMIN", 34),
        ("RTMIN+3", 37), ("CLD", 17), ("sigiot", 6), ("POLL", 29),
        ("RTMAX-1", signal.SIGRTMAX - 1), ("64", 64),
    ],
)  # fmt: skip
def test_names_and_numbers(text: str, number: int):
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BOGUS", "invalid signal: BOGUS"),
        ("0", "invalid signal: 0"),
        ("200", "does not support signal 200"),
        ("RTMIN+99", "invalid signal"),
        ("²", "invalid signal"),
        ("", "invalid signal"),
    ],
)
def test_nonsense(text: str, message: str):
    with pytest.raises(InvalidParameter, match=message):
        parse_signal(text)
