import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.version import MAX_VERSION, MIN_VERSION, Version


NUMBERS = st.integers(0, 10_000)


@given(NUMBERS, NUMBERS)
def test_a_version_is_read_as_it_is_written(major, minor):
    version = Version(major, minor)
    assert Version.parse(str(version)) == version


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_versions_compare_as_numbers(a, b, c, d):
    assert (Version(a, b) < Version(c, d)) is ((a, b) < (c, d))


def test_nine_is_less_than_forty():
    assert Version.parse("1.9") < Version.parse("1.40")


@pytest.mark.parametrize(
    ("text", "version"),
    [("1", (1, 0)), ("1.041", (1, 41)), ("1.41.0", (1, 41)), ("1.41.7.8", (1, 41))],
)
def test_versions_that_dockerd_accepts_are_accepted(text, version):
    assert Version.parse(text) == version


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".1",
        "v1.41",
        "1.41 ",
        " 1.41",
        "1,41",
        "-1.0",
        "1.x",
        "1..2",
        "\u0661.\u0664",
    ],
)
def test_invalid_versions_are_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        Version.parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_version_or_refused(text):
    try:
        version = Version.parse(text)
    except ValueError:
        return
    assert Version.parse(str(version)) == version


def test_the_range():
    assert str(MIN_VERSION) == "1.24"
    assert str(MAX_VERSION) == "1.55"
