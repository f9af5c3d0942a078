"""The firewall rules of networks and ports, for nftables and iptables."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.engine.networks import rules_iptables, rules_nft
from palan.engine.networks.flows import is_stale
from palan.engine.networks.rules import BridgeRules, FamilyRules, Link, Publication
from palan.host import nft_messages
from palan.host.conntrack import Flow
from palan.host.interface_names import rule_interface_problem


def network(short="a", *, internal=False, icc=True, trusted=(), v6=None, **family):
    families = {4: FamilyRules(subnets=("172.18.0.0/16",), **family)}
    if v6 is not None:
        families[6] = FamilyRules(subnets=("fd00::/64",), **v6)
    return BridgeRules(
        id=short * 64,
        bridge=f"br-{short}",
        internal=internal,
        icc=icc,
        trusted=trusted,
        families=families,
    )


def chain(rules, name):
    """Return the rules of one chain among those that add a network."""
    text = rules_nft.add_network("t", rules)
    found = re.search(rf"chain {name}_{rules.short} {{\n(.*?)  }}", text, re.DOTALL)
    return [line.strip() for line in found[1].splitlines()] if found else []


def test_the_table_is_replaced_whole():
    text = rules_nft.replace_table("t", [network()], [])
    assert text.startswith("table ip t {}\ndelete table ip t\ntable inet t {}\ndelete table inet t")
    assert text.index("delete table inet t") < text.index("table inet t {\n")


def test_outgoing_packets_are_masqueraded_if_configured():
    outside = 'oifname != "br-a" ip saddr { 172.18.0.0/16 }'
    assert chain(network(), "leave") == [f"{outside} masquerade"]
    assert chain(network(snat="192.0.2.1"), "leave") == [f"{outside} snat ip to 192.0.2.1"]
    assert chain(network(masquerade=False), "leave") == []
    six = network(v6={"masquerade": True})
    assert 'oifname != "br-a" ip6 saddr { fd00::/64 } masquerade' in chain(six, "leave")


def test_containers_that_may_not_talk_still_answer_and_reach_published_ports():
    assert 'iifname "br-a" accept' in chain(network(), "to")
    quiet = chain(network(icc=False), "to")
    assert 'iifname "br-a" accept' not in quiet
    drop = quiet.index('iifname "br-a" meta nfproto ipv4 drop')
    assert quiet.index('iifname "br-a" ct status dnat accept') < drop
    text = rules_nft.replace_table("t", [], [])
    assert text.index("ct state established,related accept") < text.index("oifname vmap @to")


def test_only_what_is_published_is_let_in():
    rules = chain(network(v6={}), "to")
    for family in ("ipv4", "ipv6"):
        closing = rules.index(f"meta nfproto {family} drop")
        assert rules.index(f"meta nfproto {family} ct status dnat accept") < closing
    assert not any("@open" in rule for rule in rules)


def test_in_a_routed_network_ports_and_pings_are_let_in():
    rules = chain(network(routed=True), "to")
    assert "ip daddr . meta l4proto . th dport @open4 accept" in rules
    assert "meta nfproto ipv4 meta l4proto icmp accept" in rules
    assert rules[-1] == "meta nfproto ipv4 drop"


def test_an_unprotected_network_is_reachable_from_outside():
    rules = chain(network(unprotected=True), "to")
    assert "meta nfproto ipv4 accept" in rules


def test_trusted_interfaces_reach_published_ports():
    rules = chain(network(trusted=("eth1", "eth2")), "to")
    assert 'iifname { "eth1", "eth2" } ip daddr . meta l4proto . th dport @open4 accept' in rules


def test_nothing_enters_or_leaves_an_internal_network():
    rules = network(internal=True, v6={})
    assert chain(rules, "from") == [
        'oifname != "br-a" meta nfproto ipv4 drop',
        'oifname != "br-a" meta nfproto ipv6 drop',
    ]
    assert chain(rules, "leave") == []
    assert chain(rules, "to") == [
        'iifname "br-a" accept', "meta nfproto ipv4 drop", "meta nfproto ipv6 drop",
    ]  # fmt: skip


def test_a_network_is_asked_where_packets_come_from_before_where_they_go():
    # Otherwise an internal network could reach a port that another network publishes.
    text = rules_nft.replace_table("t", [], [])
    assert text.index("iifname vmap @from") < text.index("oifname vmap @to")


def test_without_rules_for_a_family_there_are_none():
    bare = BridgeRules(id="a" * 64, bridge="b", internal=False, icc=True, trusted=(), families={})
    assert rules_nft.add_network("t", bare) == ""
    assert rules_nft.delete_network("t", bare) == ""


@given(
    internal=st.booleans(), icc=st.booleans(), routed=st.booleans(), masquerade=st.booleans(),
    six=st.booleans(),
)  # fmt: skip
def test_rules_added_for_a_network_are_deleted(internal, icc, routed, masquerade, six):
    rules = network(
        internal=internal, icc=icc, routed=routed, masquerade=masquerade, v6={} if six else None
    )
    added, deleted = rules_nft.add_network("t", rules), rules_nft.delete_network("t", rules)
    chains = re.findall(r"  chain (\S+) {", added)
    assert re.findall(r"delete chain inet t (\S+)", deleted) == chains
    assert re.findall(r"flush chain inet t (\S+)", deleted) == chains
    assert re.findall(r"add (element .*)", added) == re.findall(r"delete (element .*)", deleted)
    assert set(re.findall(r"jump (\S+)", added)) == set(chains)


# ---- ports ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "name", "element"),
    [
        (
            Publication("0.0.0.0", 8080, "tcp", "172.18.0.2", 80),
            "ports4", "tcp . 8080 : 172.18.0.2 . 80",
        ),
        (
            Publication("127.0.0.1", 8080, "udp", "172.18.0.2", 80),
            "ports4_at", "127.0.0.1 . udp . 8080 : 172.18.0.2 . 80",
        ),
        (Publication("::", 8080, "sctp", "fd00::2", 80), "ports6", "sctp . 8080 : fd00::2 . 80"),
        (
            Publication("fd01::1", 80, "tcp", "fd00::2", 80),
            "ports6_at", "fd01::1 . tcp . 80 : fd00::2 . 80",
        ),
        (
            Publication("0.0.0.0", 0, "tcp", "172.18.0.2", 80, direct=True),
            "open4", "172.18.0.2 . tcp . 80",
        ),
    ],
)  # fmt: skip
def test_a_port_is_one_element(port, name, element):
    assert f"add element inet t {name} {{ {element} }}" in rules_nft.replace_table("t", [], [port])
    ((found, pairs),) = rules_nft.elements([port]).items()
    assert found == name
    assert len(pairs) == 1


def test_elements_are_as_the_kernel_has_them():
    (pair,) = rules_nft.elements([Publication("1.2.3.4", 8080, "tcp", "5.6.7.8", 80)])["ports4_at"]
    assert pair == (b"\1\2\3\4\6\0\0\0\x1f\x90\0\0", b"\5\6\7\x08\0\x50\0\0")


PUBLICATIONS = st.lists(
    st.builds(
        Publication,
        st.one_of(st.just("0.0.0.0"), st.ip_addresses(v=4).map(str)),
        st.integers(1, 65535),
        st.sampled_from(["tcp", "udp", "sctp"]),
        st.ip_addresses(v=4).map(str),
        st.integers(1, 65535),
        direct=st.booleans(),
    ),
    max_size=5,
)


@given(PUBLICATIONS)
def test_rules_added_for_ports_are_deleted(ports):
    added = [change.body for change in rules_nft.add_ports("t", ports)]
    deleted = [change.body for change in rules_nft.delete_ports("t", ports)]
    assert added == deleted
    for version in (4, 6):
        made = rules_iptables.change_ports("t", version, ports, "-A")
        gone = rules_iptables.change_ports("t", version, ports, "-D")
        assert {t: [x.replace("-A", "-D", 1) for x in xs] for t, xs in made.items()} == gone


def test_many_elements_are_several_messages():
    ports = [Publication("0.0.0.0", n, "tcp", "172.18.0.2", 80) for n in range(1, 2001)]
    changes = list(rules_nft.add_ports("t", ports))
    assert 1 < len(changes) < 10
    assert all(len(change.body) < 65536 for change in changes)


def test_messages_are_padded_and_named():
    (change,) = nft_messages.add_elements("inet", "table", "set", [(b"\0\0\0\1", b"")])
    assert len(change.body) % 4 == 0
    assert b"table\0" in change.body
    assert change.what == "add elements to set"


# ---- iptables ------------------------------------------------------------------------


def test_iptables_text_names_only_our_chains():
    rules = rules_iptables.all_rules(
        "palan-x", 4, [network(icc=False)],
        [Publication("1.2.3.4", 80, "tcp", "172.18.0.2", 81, direct=True)],
        [Link("172.18.0.3", "172.18.0.2", "tcp", 5)],
    )  # fmt: skip
    text = rules_iptables.restore_text(rules)
    for line in text.splitlines():
        assert re.match(r"\*(nat|filter|raw)$|COMMIT$|:palan-x-\w+ - |-A palan-x-\w+ ", line), line
    assert (
        "-A palan-x-publish -d 1.2.3.4 -p tcp --dport 80 -j DNAT --to-destination 172.18.0.2:81"
        in text
    )
    assert "-A palan-x-open -d 172.18.0.2 -p tcp --dport 81 -j ACCEPT" in text
    assert "-A palan-x-links -s 172.18.0.3 -d 172.18.0.2 -p tcp --dport 5 -j ACCEPT" in text
    assert all(len(chain) < 29 for chain in re.findall(r":(\S+)", text))


def test_iptables_of_the_other_family_have_nothing_of_it():
    rules = rules_iptables.all_rules("t", 6, [network()], [])
    assert not any("br-a" in line for lines in rules.values() for line in lines)
    six = rules_iptables.all_rules(
        "t", 6, [network(v6={})], [Publication("::", 80, "tcp", "fd00::2", 80)]
    )
    assert "-A t-publish -p tcp --dport 80 -j DNAT --to-destination [fd00::2]:80" in six["nat"]


def test_iptables_of_an_internal_network_drop_first():
    rules = rules_iptables.all_rules("t", 4, [network("a"), network("b", internal=True)], [])
    lines = [line for line in rules["filter"] if line.startswith("-A t-forward")]
    assert lines[0] == "-A t-forward -i br-b ! -o br-b -j DROP"
    assert not any("br-b" in line for line in rules["nat"])


def test_iptables_let_nothing_out_before_all_networks_had_their_say():
    rules = rules_iptables.all_rules("t", 4, [network("a"), network("b")], [])
    lines = [line for line in rules["filter"] if line.startswith("-A t-forward")]
    first_out = lines.index("-A t-forward -i br-a -j ACCEPT")
    assert all(lines.index(f"-A t-forward -o br-{n} -j DROP") < first_out for n in "ab")


def test_removal_is_of_our_chains_only():
    rules = rules_iptables.removal("t", [("nat", "t-post"), ("nat", "DOCKER"), ("raw", "t-guard")])
    assert rules == {"nat": ["-F t-post", "-X t-post"], "raw": ["-F t-guard", "-X t-guard"]}


# ---- flows ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "stale"),
    [
        ({}, True),
        ({"reply_source": "172.18.0.9"}, True),
        ({"port": 54}, False),
        ({"protocol": 6}, False),
        ({"destination": "8.8.8.8", "reply_source": "8.8.8.8"}, False),
        ({"destination": "127.0.0.1", "reply_source": "127.0.0.1"}, True),
        ({"version": 6}, False),
    ],
)
def test_flows_that_are_forgotten(flow, stale):
    made = Flow(
        **{
            "version": 4, "protocol": 17, "source": "192.0.2.9", "destination": "192.0.2.1",
            "port": 53, "reply_source": "192.0.2.1", "key": b"", **flow,
        }
    )  # fmt: skip
    port = Publication("0.0.0.0", 53, "udp", "172.18.0.2", 53)
    assert is_stale(made, [port], {"192.0.2.1"}) is stale


def test_flows_to_another_address_stay():
    made = Flow(4, 17, "192.0.2.9", "192.0.2.1", 53, "192.0.2.1", b"")
    at = Publication("192.0.2.2", 53, "udp", "172.18.0.2", 53)
    assert not is_stale(made, [at], {"192.0.2.1", "192.0.2.2"})


@pytest.mark.parametrize("name", ['lo" } accept', "a\nb", "eth*", "eth+", 'a"b', "-j", "\\", "{"])
def test_no_name_of_an_interface_becomes_part_of_the_rules_language(name):
    for bridge, trusted in ((name, ()), ("br", ("eth0", name))):
        with pytest.raises(ValueError, match="invalid interface name"):
            BridgeRules(
                id="a" * 64, bridge=bridge, internal=False, icc=True, trusted=trusted, families={}
            )


@given(st.text(max_size=15))
def test_a_name_that_rules_can_hold_is_one_word_in_them(name):
    if name and not rule_interface_problem(name):
        assert re.fullmatch(r"[^\s\"'\\*!;{}()<>|&$/:%]+", name)
        assert len(name.encode()) <= 15
        assert not name.startswith("-")
        assert not name.endswith("+")


def test_addresses_lose_the_zones_in_which_a_text_could_hide():
    zone = '%lo" } accept'
    rules = network(v6={"snat": f"fe80::1{zone}"})
    publication = Publication(f"fe80::1{zone}", 80, "tcp", f"fd00::2{zone}", 80)
    link = Link(f"fd00::2{zone}", f"fd00::3{zone}", "tcp", 80)
    scripts = (
        rules_nft.replace_table("t", [rules], [publication], [link]),
        rules_iptables.restore_text(
            rules_iptables.all_rules("t", 6, [rules], [publication], [link])
        ),
    )
    for script in scripts:
        assert "%" not in script
        assert "fe80::1" in script
        assert "fd00::3" in script


def test_subnets_lose_their_zones():
    assert FamilyRules(subnets=('fe80::%"x/64',)).subnets == ("fe80::/64",)
