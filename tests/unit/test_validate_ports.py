import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.containers import PortBinding, PortMap
from palan.api.errors import InvalidParameter
from palan.engine.networks.port_parsing import (
    Port,
    PortMapping,
    fill_empty_bindings,
    normal_bindings,
    normal_exposed,
    parse_port,
    parse_port_bindings,
    parse_port_range,
    published_ports,
)


def test_ports():
    assert parse_port("80") == Port(80, "tcp")
    assert parse_port("53/UDP") == Port(53, "udp")
    assert str(parse_port("132/sctp")) == "132/sctp"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http", "invalid JSON: invalid port 'http': invalid syntax"),
        ("90-80/tcp", "invalid JSON: invalid port '90-80': invalid syntax"),
        ("70000", "invalid JSON: invalid port '70000': value out of range"),
        ("/tcp", "invalid JSON: invalid port '': value is empty"),
    ],
)
def test_invalid_ports(text, message):
    with pytest.raises(InvalidParameter) as caught:
        parse_port(text)
    assert caught.value.message == message


def test_ranges_of_the_host():
    assert parse_port_range("8000-8002") == range(8000, 8003)
    assert parse_port_range("80") == range(80, 81)
    for text in ("bogus", "70000", "2-1", "1-", "-1", ""):
        with pytest.raises(InvalidParameter) as caught:
            parse_port_range(text)
        assert caught.value.message == f'invalid port specification: "{text}"'


def test_bindings():
    assert parse_port_bindings(
        {
            "80/tcp": [
                PortBinding(host_ip="127.0.0.1", host_port="8080"),
                PortBinding(host_ip="::1", host_port="8000-8001"),
            ],
            "53/udp": None,
            "132/sctp": [PortBinding(host_port="0")],
        }
    ) == [
        PortMapping(80, "tcp", "127.0.0.1", range(8080, 8081)),
        PortMapping(80, "tcp", "::1", range(8000, 8002)),
        PortMapping(53, "udp", "", range(0)),
        PortMapping(132, "sctp", "", range(0)),
    ]


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        (
            {"80/tcp": [PortBinding(host_ip="bogus")]},
            'invalid JSON: ParseAddr("bogus"): unable to parse IP',
        ),
        ({"80/xyz": None}, 'invalid port specification: "80/xyz"'),
        ({"0/tcp": None}, 'invalid port specification: "0/tcp"'),
        (
            {"80/tcp": [PortBinding(host_port="0-8001")]},
            'invalid port specification: "0-8001"',
        ),
    ],
)
def test_invalid_bindings(bindings, message):
    with pytest.raises(InvalidParameter) as caught:
        parse_port_bindings(bindings)
    assert caught.value.message == message


def test_ports_in_other_words():
    assert normal_exposed({"80": 1, "081/TCP": 2, "9/xyz": 3, "82/": 4}) == {
        "80/tcp": 1, "81/tcp": 2, "9/xyz": 3, "82/tcp": 4,
    }  # fmt: skip
    one, other = PortBinding(host_port="1"), PortBinding(host_port="2")
    assert normal_bindings({"80": [one], "80/TCP": [other], "81": None}) == {
        "80/tcp": [one, other], "81/tcp": None,
    }  # fmt: skip


def test_all_ports_that_are_exposed():
    exposed: dict[str, dict[str, str]] = {"80/tcp": {}, "53/udp": {}, "9/xyz": {}}
    bindings: PortMap = {"80/tcp": [PortBinding(host_port="1")]}
    bound = PortMapping(80, "tcp", "", range(1, 2))
    assert published_ports(bindings, exposed, publish_all=False) == [bound]
    assert published_ports(bindings, exposed, publish_all=True) == [
        bound,
        PortMapping(53, "udp", "", ()),
    ]


def test_empty_lists_of_bindings_are_filled():
    bindings = {"80/tcp": [], "81/tcp": None, "82/tcp": [PortBinding()]}
    (warning,) = fill_empty_bindings(bindings)
    assert warning.startswith(
        "Following container port(s) have an empty list of port-bindings: 80/tcp, 81/tcp. Such"
    )
    assert all(bindings.values())
    assert fill_empty_bindings(bindings) == []


@given(st.text())
def test_any_text_is_a_port_or_a_mistake(text):
    for parse in (parse_port, parse_port_range):
        try:
            parse(text)
        except InvalidParameter:
            continue
