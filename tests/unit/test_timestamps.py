import time

import pytest

from palan.api.errors import InvalidParameter
from palan.engine.containers.container import go_time
from palan.engine.timestamps import parse_time


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("", None),
        ("0", None),
        ("1136073600", 1136073600 * 10**9),
        ("1136073600.000000001", 1136073600 * 10**9 + 1),
        ("1136073600.5", 1136073600 * 10**9 + 500_000_000),
        ("2006-01-01T00:00:00Z", 1136073600 * 10**9),
        ("2006-01-01T00:00:00.000000007Z", 1136073600 * 10**9 + 7),
        ("2006-01-01T02:00:00+02:00", 1136073600 * 10**9),
        ("2006-01-01", 1136073600 * 10**9),
        ("9" * 18, 2**63 - 1),
        ("-" + "9" * 18, -(2**63)),
        ("9999-12-31T23:59:59Z", 2**63 - 1),
        ("0001-01-01", -(2**63)),
    ],
)
def test_times(text: str, nanoseconds: int | None):
    assert parse_time(text) == nanoseconds


def test_durations_count_back_from_now():
    assert abs(parse_time("1h30m") - (time.time_ns() - 5400 * 10**9)) < 10**9  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2006-13-01", "10 m", "--1", "9" * 5000, "9" * 400 + "s", "\u0663"],
)
def test_nonsense_is_refused(text: str):
    with pytest.raises(InvalidParameter, match="invalid timestamp"):
        parse_time(text)


def test_go_drops_trailing_zeros():
    assert go_time(0) == "0001-01-01T00:00:00Z"
    assert go_time(1136073600 * 10**9) == "2006-01-01T00:00:00Z"
    assert go_time(1136073600 * 10**9 + 120_000_000) == "2006-01-01T00:00:00.12Z"
