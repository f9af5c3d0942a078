"""The rules in the language of nft(8): static chains, with maps to which elements are added.

All rules are in one table of the engine's own: tables of a host firewall stay as they are, and
all rules are removed with the table.  A network adds a few short chains, and elements of maps
that jump to them by interface.  So a packet passes only the rules of its own networks, however
many networks there are.  A published port adds one element to a map, and no chain changes.  For
throughput, all but the first packets of a connection pass as few rules as possible, and look-ups
in sets come last.

A published port is looked up either by protocol and port alone (published on all addresses) or
together with the destination address.  ``fib daddr type local`` restricts both to packets for
this host.  Packets of the host itself pass the output hook; those from 127.0.0.0/8 need the
bridge's ``route_localnet`` and a source that the container can answer to.  ``::1`` has no such
setting, and no container can answer to a link-local address through a bridge: the userland proxy
forwards these.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from palan.engine.networks.rules import BridgeRules, FamilyRules, Link, Publication, is_any
from palan.host import nft_messages
from palan.host.nft_messages import Change


__all__ = [
    "FAMILY",
    "add_links",
    "add_network",
    "add_ports",
    "delete_links",
    "delete_network",
    "delete_ports",
    "delete_table",
    "elements",
    "replace_table",
]

FAMILY: Final = "inet"
_NETWORK: Final = {4: "ip", 6: "ip6"}
_PROTO: Final = {4: "ipv4", 6: "ipv6"}
_CALLERS: Final = {"to": "to", "from": "from", "leaving": "leave", "answering": "answer"}
"""Maps by interface, and the prefixes of the chains that they jump to."""


def replace_table(
    table: str,
    networks: Iterable[BridgeRules],
    publications: Iterable[Publication],
    links: Iterable[Link] = (),
) -> str:
    """Return the script that replaces the table as a whole, in one transaction."""
    parts = [delete_table(table), _static(table)]
    parts += [add_network(table, network) for network in networks]
    for name, keys, values in _element_texts(publications, links):
        if keys:
            pairs = ", ".join(
                k + (f" : {v}" if v else "") for k, v in zip(keys, values, strict=True)
            )
            parts.append(f"add element {FAMILY} {table} {name} {{ {pairs} }}")
    return "\n".join(parts)


def delete_table(table: str) -> str:
    """Return the script that removes all rules, and those of early versions."""
    return "\n".join(
        f"table {family} {table} {{}}\ndelete table {family} {table}" for family in ("ip", FAMILY)
    )


def _static(table: str) -> str:
    maps = "".join(
        f"""
  map ports{version} {{
    type inet_proto . inet_service : {address} . inet_service
  }}
  map ports{version}_at {{
    type {address} . inet_proto . inet_service : {address} . inet_service
  }}
  set open{version} {{
    type {address} . inet_proto . inet_service
  }}
  set linked{version} {{
    type {address} . {address} . inet_proto . inet_service
  }}"""
        for version, address in ((4, "ipv4_addr"), (6, "ipv6_addr"))
    )
    return f"""
table {FAMILY} {table} {{{maps}
  map to {{
    type ifname : verdict
  }}
  map from {{
    type ifname : verdict
  }}
  map leaving {{
    type ifname : verdict
  }}
  map answering {{
    type ifname : verdict
  }}
  set bridges {{
    type ifname
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    ip daddr 127.0.0.0/8 iifname @bridges drop
    ip saddr 127.0.0.0/8 iifname @bridges drop
  }}
  chain publish {{
    dnat ip to meta l4proto . th dport map @ports4
    dnat ip to ip daddr . meta l4proto . th dport map @ports4_at
    ip6 daddr ::1 return
    ip6 saddr fe80::/10 return
    dnat ip6 to meta l4proto . th dport map @ports6
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6_at
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 return
    fib daddr type local jump publish
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname vmap @leaving
    oifname vmap @answering
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    iifname vmap @from
    oifname vmap @to
  }}
}}
"""


# ---- networks --------------------------------------------------------------------------


def add_network(table: str, network: BridgeRules) -> str:
    """Return the script that adds the rules of a network."""
    chains = _chains(network)
    if not chains:
        return ""
    body = "\n".join(
        f"  chain {name} {{\n" + "".join(f"    {rule}\n" for rule in rules) + "  }"
        for name, rules in chains.items()
    )
    lines = [f"table {FAMILY} {table} {{\n{body}\n}}"]
    lines += [f"add element {FAMILY} {table} {m} {{ {key} }}" for m, key in _jumps(network)]
    return "\n".join(lines)


def delete_network(table: str, network: BridgeRules) -> str:
    """Return the script that removes the rules of a network."""
    places = [
        f"delete element {FAMILY} {table} {name} {{ {key} }}" for name, key in _jumps(network)
    ]
    return "\n".join(
        places
        + [f"flush chain {FAMILY} {table} {name}" for name in _chains(network)]
        + [f"delete chain {FAMILY} {table} {name}" for name in _chains(network)]
    )


def _chains(network: BridgeRules) -> dict[str, list[str]]:
    if not network.families:
        return {}
    chains = {f"to_{network.short}": list(_incoming(network))}
    outside = f'oifname != "{network.bridge}"'
    if network.internal:
        chains[f"from_{network.short}"] = [
            f"{outside} meta nfproto {_PROTO[version]} drop" for version in network.families
        ]
        return chains
    leaving, answering = [], []
    for version, family in network.families.items():
        ip = _NETWORK[version]
        subnets = ", ".join(family.subnets)
        if family.masquerade:
            verdict = f"snat {ip} to {family.snat}" if family.snat else "masquerade"
            leaving.append(f"{outside} {ip} saddr {{ {subnets} }} {verdict}")
        if version == 4:
            answering.append("ip saddr 127.0.0.0/8 masquerade")
        # A container that uses a published port of its own network at the host's address gets
        # the answer through the host as well; else it would not recognise it.
        answering.append(f"{ip} saddr {{ {subnets} }} ct status dnat masquerade")
    if leaving:
        chains[f"leave_{network.short}"] = leaving
    chains[f"answer_{network.short}"] = answering
    return chains


def _incoming(network: BridgeRules) -> Iterator[str]:
    """Yield the rules for packets that are forwarded to a network's interface."""
    within = f'iifname "{network.bridge}"'
    if network.icc:
        yield f"{within} accept"
    else:
        for version in network.families:
            ip = _NETWORK[version]
            yield (
                f"{within} {ip} saddr . {ip} daddr . meta l4proto . th dport"
                f" @linked{version} accept"
            )
        if not network.internal:
            yield f"{within} ct status dnat accept"
        for version in network.families:
            yield f"{within} meta nfproto {_PROTO[version]} drop"
    for version, family in network.families.items():
        if not network.internal:
            yield from _published(network, version, family)
        yield f"meta nfproto {_PROTO[version]} drop"


def _published(network: BridgeRules, version: int, family: FamilyRules) -> Iterator[str]:
    proto, ip = _PROTO[version], _NETWORK[version]
    direct = f"{ip} daddr . meta l4proto . th dport @open{version} accept"
    yield f"meta nfproto {proto} ct status dnat accept"
    if family.unprotected:
        yield f"meta nfproto {proto} accept"
    elif family.routed:
        icmp = "icmp" if version == 4 else "ipv6-icmp"
        yield f"meta nfproto {proto} meta l4proto {icmp} accept"
        yield direct
    elif network.trusted:
        interfaces = ", ".join(f'"{name}"' for name in network.trusted)
        yield f"iifname {{ {interfaces} }} {direct}"


def _jumps(network: BridgeRules) -> Iterator[tuple[str, str]]:
    """Yield the elements that jump to a network's chains: map or set, and the element's text."""
    chains = _chains(network)
    bridge, short = f'"{network.bridge}"', network.short
    for name, chain in _CALLERS.items():
        if f"{chain}_{short}" in chains:
            yield name, f"{bridge} : jump {chain}_{short}"
    if chains:
        yield "bridges", bridge


# ---- ports and links -------------------------------------------------------------------


def _element_texts(
    publications: Iterable[Publication], links: Iterable[Link]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield elements as text: name of the map, keys and values."""
    found: dict[str, dict[str, str]] = {}
    for p in publications:
        if p.host_port:
            short = f"{p.protocol} . {p.host_port}"
            everywhere = is_any(p.host_ip)
            name = f"ports{p.version}" if everywhere else f"ports{p.version}_at"
            key = short if everywhere else f"{p.host_ip} . {short}"
            found.setdefault(name, {})[key] = f"{p.address} . {p.port}"
        if p.direct:
            found.setdefault(f"open{p.version}", {})[f"{p.address} . {p.protocol} . {p.port}"] = ""
    for link in links:
        version = 6 if ":" in link.address else 4
        key = f"{link.source} . {link.address} . {link.protocol} . {link.port}"
        found.setdefault(f"linked{version}", {})[key] = ""
    for name, pairs in found.items():
        yield name, list(pairs), list(pairs.values())


def elements(publications: Iterable[Publication]) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return the elements of published ports by map or set, in the kernel's encoding."""
    found: dict[str, dict[bytes, bytes]] = {}
    for p in publications:
        protocol = nft_messages.element_protocol(p.protocol)
        inner = nft_messages.element_number(p.port, 2)
        address = nft_messages.element_address(p.address)
        if p.host_port:
            key = protocol + nft_messages.element_number(p.host_port, 2)
            name = f"ports{p.version}"
            if not is_any(p.host_ip):
                name += "_at"
                key = nft_messages.element_address(p.host_ip) + key
            found.setdefault(name, {})[key] = address + inner
        if p.direct:
            # Several ports of the host may lead to the same port of the container.
            found.setdefault(f"open{p.version}", {})[address + protocol + inner] = b""
    return {name: list(pairs.items()) for name, pairs in found.items()}


def _link_elements(links: Iterable[Link]) -> dict[str, list[tuple[bytes, bytes]]]:
    found: dict[str, list[tuple[bytes, bytes]]] = {}
    for link in links:
        version = 6 if ":" in link.address else 4
        key = b"".join(
            (
                nft_messages.element_address(link.source),
                nft_messages.element_address(link.address),
                nft_messages.element_protocol(link.protocol),
                nft_messages.element_number(link.port, 2),
            )
        )
        found.setdefault(f"linked{version}", []).append((key, b""))
    return found


def add_ports(table: str, publications: Iterable[Publication]) -> Iterator[Change]:
    """Yield the changes that publish ports."""
    for name, pairs in elements(publications).items():
        yield from nft_messages.add_elements(FAMILY, table, name, pairs)


def delete_ports(table: str, publications: Sequence[Publication]) -> Iterator[Change]:
    """Yield the changes that remove published ports."""
    for name, pairs in elements(publications).items():
        yield from nft_messages.delete_elements(FAMILY, table, name, pairs)


def add_links(table: str, links: Iterable[Link]) -> Iterator[Change]:
    """Yield the changes that allow linked containers to talk."""
    for name, pairs in _link_elements(links).items():
        yield from nft_messages.add_elements(FAMILY, table, name, pairs)


def delete_links(table: str, links: Iterable[Link]) -> Iterator[Change]:
    """Yield the changes that remove links."""
    for name, pairs in _link_elements(links).items():
        yield from nft_messages.delete_elements(FAMILY, table, name, pairs)
