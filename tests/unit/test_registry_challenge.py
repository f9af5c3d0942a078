"""Parsing of WWW-Authenticate: valid, sloppy and malformed headers."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.registry.challenge import Challenge, parse_challenges


BEARER = Challenge(
    "bearer",
    {
        "realm": "https://auth.docker.io/token",
        "service": "registry.docker.io",
        "scope": "repository:library/busybox:pull,push",
    },
)


@pytest.mark.parametrize(
    "header",
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
            'scope="repository:library/busybox:pull,push"'
        ),
        (
            'bearer  REALM = "https://auth.docker.io/token" , Service=registry.docker.io,,'
            ' scope="repository:library/busybox:pull\\,push"'
        ),
        (
            'BEARER realm=https://auth.docker.io/token,service="registry.docker.io",'
            'scope="repository:library/busybox:pull,push",'
        ),
    ],
)
def test_spellings_of_one_challenge(header):
    assert parse_challenges([header]) == [BEARER]


def test_challenges_in_one_header_and_in_several_headers():
    basic, negotiate = Challenge("basic", {"realm": "a, b"}), Challenge("negotiate")
    assert parse_challenges(['Negotiate, Basic realm="a, b"']) == [negotiate, basic]
    assert parse_challenges(['Basic realm="a, b", Negotiate']) == [basic, negotiate]
    assert parse_challenges(["Negotiate YWJj==", 'Basic realm="a, b"']) == [negotiate, basic]
    assert parse_challenges(['NTLM YWJj, Basic realm="a, b"'])[1] == basic


def test_malformed_parts_are_skipped():
    assert parse_challenges([]) == []
    assert parse_challenges(["", " , ,", '"lonely"', 'realm="no scheme"']) == []
    assert parse_challenges(['@@@, Basic realm="x"']) == [Challenge("basic", {"realm": "x"})]
    assert parse_challenges(['Bearer realm="never closed']) == [Challenge("bearer")]


_NAMES = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=8)
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
_CHALLENGES = st.builds(Challenge, _NAMES, st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=4))


def written(challenge):
    quoted = {
        name: value.replace("\\", "\\\\").replace('"', '\\"')
        for name, value in challenge.parameters.items()
    }
    return f"{challenge.scheme} " + ", ".join(f'{name}="{value}"' for name, value in quoted.items())


@given(st.lists(_CHALLENGES, max_size=4))
def test_formatted_challenges_are_parsed_back(challenges):
    texts = [written(challenge) for challenge in challenges]
    assert parse_challenges(texts) == challenges
    assert parse_challenges([", ".join(texts)]) == challenges


@given(st.lists(st.text(), max_size=3))
def test_any_headers_can_be_parsed(headers):
    parse_challenges(headers)


@given(st.text('Basic=", \\x\t', max_size=60))
def test_any_similar_header_can_be_parsed(header):
    for challenge in parse_challenges([header]):
        assert challenge.scheme
        assert challenge.scheme == challenge.scheme.lower()
