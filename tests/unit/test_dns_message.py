"""The bytes of DNS questions and answers."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.engine.networks.dns_message import (
    Answer,
    BadMessage,
    Rcode,
    Rtype,
    address_of_reverse,
    answer,
    answers_to,
    encode_name,
    failure,
    parse_query,
    query_bytes,
    response_code,
    truncated,
)


def question(name="web", rtype=Rtype.A, *, number=7, flags=0x0100, edns=0):
    opt = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    header = struct.pack("!HHHHHH", number, flags, 1, 0, 0, 1 if edns else 0)
    return header + encode_name(name) + struct.pack("!HH", rtype, 1) + opt


def records(message):
    """Return the records of the answer section: (type, ttl, data); names are pointers."""
    _, _, questions, answers, _, _ = struct.unpack_from("!HHHHHH", message)
    assert questions == 1
    position = 12
    while message[position]:
        position += 1 + message[position]
    position += 5
    found = []
    for _ in range(answers):
        assert message[position : position + 2] == b"\xc0\x0c"
        rtype, rclass, ttl, size = struct.unpack_from("!HHIH", message, position + 2)
        assert rclass == 1
        found.append((rtype, ttl, message[position + 12 : position + 12 + size]))
        position += 12 + size
    return found


def flags_of(message):
    return int.from_bytes(message[2:4], "big")


LABEL = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=20)


@given(
    labels=st.lists(LABEL, min_size=1, max_size=8),
    number=st.integers(0, 65535),
    rtype=st.sampled_from([1, 12, 15, 16, 28, 65]),
    edns=st.sampled_from([0, 512, 1232, 4096]),
)
def test_a_question_is_read_as_it_was_asked(labels, number, rtype, edns):
    name = ".".join(labels)
    query = parse_query(question(name, rtype, number=number, edns=edns))
    assert (query.id, query.name, query.rtype, query.rclass) == (number, name.lower(), rtype, 1)
    assert query.edns is bool(edns)
    assert query.limit == max(edns, 512)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_question_or_refused(data):
    try:
        query = parse_query(data)
    except BadMessage as error:
        told = error.reply
    else:
        told = failure(query, Rcode.NOTIMP)
        assert answer(query)[:2] == data[:2]
    assert not told or response_code(told) in (Rcode.FORMERR, Rcode.NOTIMP)


@given(cut=st.integers(0, 30))
def test_a_question_cut_short_is_never_misread(cut):
    whole = question("a.long.name.of.somebody", edns=1232)
    with pytest.raises(BadMessage):
        parse_query(whole[: len(whole) - 1 - cut])


@pytest.mark.parametrize(
    ("message", "rcode"),
    [
        (b"", None),
        (b"\0" * 11, None),
        (question(flags=0x8100), None),  # an answer: silence
        (question(flags=0x2800), Rcode.NOTIMP),  # an update
        (struct.pack("!HHHHHH", 1, 0x100, 2, 0, 0, 0), Rcode.FORMERR),
        (struct.pack("!HHHHHH", 1, 0x100, 0, 0, 0, 0), Rcode.FORMERR),
        (struct.pack("!HHHHHH", 1, 0x100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", Rcode.FORMERR),
        (struct.pack("!HHHHHH", 1, 0x100, 1, 0, 0, 0) + b"\x3f" * 300, Rcode.FORMERR),
    ],
)
def test_invalid_questions(message, rcode):
    with pytest.raises(BadMessage) as caught:
        parse_query(message)
    if rcode is None:
        assert caught.value.reply == b""
    else:
        assert response_code(caught.value.reply) == rcode


@given(
    addresses=st.lists(st.ip_addresses(), max_size=120),
    edns=st.sampled_from([0, 512, 1232, 4096]),
)
def test_as_many_answers_as_have_room(addresses, edns):
    query = parse_query(question(edns=edns))
    told = [Answer(Rtype.A if a.version == 4 else Rtype.AAAA, a.packed) for a in addresses]
    message = answer(query, told, ttl=600)
    assert len(message) <= query.limit
    found = records(message)
    assert found == [(a.rtype, 600, a.data) for a in told[: len(found)]]
    assert bool(flags_of(message) & 0x0200) is (len(found) < len(told))
    assert len(records(answer(query, told, limit=65535))) == len(told)


def test_flags_of_an_answer():
    asked = question(flags=0x0110)  # recursion desired, checking disabled
    assert flags_of(answer(parse_query(asked))) == 0x8190  # ... and recursion available
    assert flags_of(failure(parse_query(asked), Rcode.SERVFAIL)) == 0x8192


def test_the_case_of_a_name_is_kept():
    query = parse_query(question("WeB.Net"))
    assert query.name == "web.net"
    assert b"\3WeB\3Net\0" in answer(query)


@given(st.ip_addresses())
def test_reverse_names(address):
    assert address_of_reverse(address.reverse_pointer) == str(address)


@pytest.mark.parametrize(
    "name",
    [
        "", "web", "in-addr.arpa", "3.2.1.in-addr.arpa", "1.2.3.4.5.in-addr.arpa",
        "x.3.2.1.in-addr.arpa", "1.ip6.arpa", ".".join(["00"] * 32) + ".ip6.arpa",
        ".".join(["z"] * 32) + ".ip6.arpa", "4.3.2.1.in-addr.arpa.net",
    ],
)  # fmt: skip
def test_invalid_reverse_names(name):
    assert address_of_reverse(name) == ""


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, ".".join(["x" * 60] * 5)])
def test_names_that_fit_in_no_record(name):
    with pytest.raises(ValueError, match="name"):
        encode_name(name)


def test_only_an_answer_to_the_same_question_under_the_same_number_counts():
    query = parse_query(question("web.net", number=7))
    good = query_bytes(answer(query, [Answer(Rtype.A, b"\1\2\3\4")]), 99)
    assert answers_to(query, 99, good)
    assert answers_to(query, 99, good.replace(b"web", b"WEB"))
    assert not answers_to(query, 98, good)
    assert not answers_to(query, 99, good.replace(b"web", b"wob"))
    assert not answers_to(query, 99, query_bytes(question("web.net"), 99))
    assert not answers_to(query, 99, b"")
    refused = struct.pack("!HHHHHH", 99, 0x8185, 0, 0, 0, 0)
    assert answers_to(query, 99, refused)
    assert not answers_to(query, 99, struct.pack("!HHHHHH", 99, 0x8180, 0, 0, 0, 0))


@given(size=st.integers(0, 3000), edns=st.sampled_from([0, 1232]))
def test_answers_too_long_for_a_client_are_marked_truncated(size, edns):
    query = parse_query(question(edns=edns))
    whole = answer(query, [Answer(16, bytes(size))], limit=65535)
    passed = truncated(query, whole)
    if len(whole) <= query.limit:
        assert passed == whole
    else:
        assert flags_of(passed) & 0x0200
        assert len(passed) <= query.limit
        assert passed[:2] == whole[:2]
        assert records(passed) == []


def test_addresses_are_not_looked_into_for_other_types():
    assert ipaddress.ip_address(address_of_reverse("1.0.0.127.in-addr.arpa")).is_loopback
