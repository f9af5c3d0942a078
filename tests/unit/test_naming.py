import pytest

from palan.api.errors import InvalidParameter
from palan.engine.containers.naming import (
    ADJECTIVES,
    SURNAMES,
    check_name,
    generate_id,
    generate_name,
)


@pytest.mark.parametrize("name", ["ab", "/rec-slash", "a.b_c-d", "0a"])
def test_names(name):
    check_name(name)


@pytest.mark.parametrize("name", ["", "a", "rec/slash", "-rec", "réc", "//a1", "a b", "ab\n"])
def test_invalid_names(name):
    with pytest.raises(InvalidParameter) as caught:
        check_name(name)
    assert caught.value.message == (
        f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )


def test_there_are_many_made_up_names():
    assert len(set(ADJECTIVES)) * len(set(SURNAMES)) > 10_000
    assert len(set(ADJECTIVES)) == len(ADJECTIVES)
    assert len(set(SURNAMES)) == len(SURNAMES)
    for word in ADJECTIVES + SURNAMES:
        assert word.isascii()
        assert word.islower()


def test_a_made_up_name():
    adjective, surname = generate_name(lambda _: False, "f" * 64).split("_")
    assert adjective in ADJECTIVES
    assert surname in SURNAMES


def test_a_name_that_is_taken_gets_a_digit():
    name = generate_name(lambda name: not name[-1].isdigit(), "f" * 64)
    check_name(name)
    assert name[-1].isdigit()


def test_fate_against_it():
    assert generate_name(lambda _: True, "0123456789abcdef") == "0123456789ab"


def test_ids():
    new = {generate_id() for _ in range(100)}
    assert len(new) == 100
    for one in new:
        assert len(one) == 64
        assert not one[:12].isdecimal()
        int(one, 16)
