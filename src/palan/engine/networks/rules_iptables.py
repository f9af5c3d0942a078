"""The rules in the language of iptables-restore(8), for machines without nftables.

The engine has its own chains, named after its table, to which the host's chains jump; nothing
else of the host's is changed.  Each call of the program is one transaction per table.  A change
of networks rewrites all chains; rules of ports and links are added and deleted one by one, in
chains of their own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from palan.engine.networks.rules import BridgeRules, FamilyRules, Link, Publication, is_any


__all__ = ["CHAINS", "all_rules", "change_links", "change_ports", "jumps", "restore_text"]

Rules = dict[str, list[str]]
"""Lines of rules by table."""

CHAINS: Final = {
    "nat": ("publish", "post"),
    "filter": ("forward", "open", "links"),
    "raw": ("guard",),
}
_LOOPBACK: Final = "127.0.0.0/8"
_STATE: Final = "-m conntrack --ctstate"


def jumps(name: str) -> list[tuple[str, str, str]]:
    """Return the rules in the host's chains, as table, chain and rule."""
    local = f"-m addrtype --dst-type LOCAL -j {name}-publish"
    return [
        ("nat", "PREROUTING", local),
        ("nat", "OUTPUT", local),
        ("nat", "POSTROUTING", f"-j {name}-post"),
        ("filter", "FORWARD", f"-j {name}-forward"),
        ("raw", "PREROUTING", f"-j {name}-guard"),
    ]


def restore_text(rules: Rules) -> str:
    """Return the input of iptables-restore."""
    return "".join(
        f"*{table}\n" + "".join(f"{line}\n" for line in lines) + "COMMIT\n"
        for table, lines in rules.items()
        if lines
    )


def all_rules(
    name: str,
    version: int,
    networks: Iterable[BridgeRules],
    publications: Iterable[Publication],
    links: Iterable[Link] = (),
) -> Rules:
    """Return all rules of one IP version, which replace those in the engine's chains."""
    rules: Rules = {
        table: [f":{name}-{chain} - [0:0]" for chain in chains] for table, chains in CHAINS.items()
    }
    if version == 6:
        # No container can answer to these through a bridge: the userland proxy forwards them.
        rules["nat"] += [f"-A {name}-publish -d ::1 -j RETURN"]
        rules["nat"] += [f"-A {name}-publish -s fe80::/10 -j RETURN"]
    here = [n for n in networks if version in n.families]
    for network in here:
        if network.internal:
            rules["filter"].append(
                f"-A {name}-forward -i {network.bridge} ! -o {network.bridge} -j DROP"
            )
    for network in here:
        family = network.families[version]
        rules["nat"] += _translation(name, version, network, family)
        rules["filter"] += _forwarding(name, version, network, family)
        if version == 4:
            for side in ("-d", "-s"):
                rules["raw"].append(
                    f"-A {name}-guard -i {network.bridge} {side} {_LOOPBACK} -j DROP"
                )
    # Leaving packets are accepted last, so that they can't enter another network.  Without these
    # rules they would be dropped by the host's own policy, such as dockerd leaves behind.
    rules["filter"] += [f"-A {name}-forward -i {network.bridge} -j ACCEPT" for network in here]
    for more in (
        change_ports(name, version, publications, "-A"),
        change_links(name, version, links, "-A"),
    ):
        for table, lines in more.items():
            rules[table] += lines
    return rules


def _translation(
    name: str, version: int, network: BridgeRules, family: FamilyRules
) -> Iterator[str]:
    if network.internal:
        return
    bridge = network.bridge
    if version == 4:
        yield f"-A {name}-post -s {_LOOPBACK} -o {bridge} -j MASQUERADE"
    for subnet in family.subnets:
        if family.masquerade:
            verdict = f"SNAT --to-source {family.snat}" if family.snat else "MASQUERADE"
            yield f"-A {name}-post -s {subnet} ! -o {bridge} -j {verdict}"
        yield f"-A {name}-post -s {subnet} -o {bridge} {_STATE} DNAT -j MASQUERADE"


def _forwarding(
    name: str, version: int, network: BridgeRules, family: FamilyRules
) -> Iterator[str]:
    bridge = network.bridge
    to = f"-A {name}-forward -o {bridge}"
    yield f"{to} {_STATE} RELATED,ESTABLISHED -j ACCEPT"
    if network.icc:
        yield f"{to} -i {bridge} -j ACCEPT"
    else:
        yield f"{to} -i {bridge} -j {name}-links"
        if not network.internal:
            yield f"{to} -i {bridge} {_STATE} DNAT -j ACCEPT"
        yield f"{to} -i {bridge} -j DROP"
    if not network.internal:
        yield f"{to} {_STATE} DNAT -j ACCEPT"
        if family.unprotected:
            yield f"{to} -j ACCEPT"
        elif family.routed:
            icmp = "icmp" if version == 4 else "ipv6-icmp"
            yield f"{to} -p {icmp} -j ACCEPT"
            yield f"{to} -j {name}-open"
        else:
            for interface in network.trusted:
                yield f"{to} -i {interface} -j {name}-open"
    yield f"{to} -j DROP"


def change_ports(
    name: str, version: int, publications: Iterable[Publication], action: str
) -> Rules:
    """Return the rules of published ports, to be added (``-A``) or deleted (``-D``)."""
    rules: dict[str, dict[str, None]] = {"nat": {}, "filter": {}}
    for p in publications:
        if p.version != version:
            continue
        if p.host_port:
            at = "" if is_any(p.host_ip) else f"-d {p.host_ip} "
            address = f"[{p.address}]" if version == 6 else p.address
            rules["nat"][
                f"{action} {name}-publish {at}-p {p.protocol} --dport {p.host_port}"
                f" -j DNAT --to-destination {address}:{p.port}"
            ] = None
        if p.direct:
            line = f"-d {p.address} -p {p.protocol} --dport {p.port} -j ACCEPT"
            rules["filter"][f"{action} {name}-open {line}"] = None
    return {table: list(lines) for table, lines in rules.items()}


def change_links(name: str, version: int, links: Iterable[Link], action: str) -> Rules:
    """Return the rules of links, to be added (``-A``) or deleted (``-D``)."""
    lines = [
        f"{action} {name}-links -s {k.source} -d {k.address} -p {k.protocol} --dport {k.port}"
        " -j ACCEPT"
        for k in links
        if (":" in k.address) == (version == 6)
    ]
    return {"filter": lines}


def removal(name: str, chains: Sequence[tuple[str, str]]) -> Rules:
    """Return the lines that delete the engine's own chains, once no rule jumps to them.

    Args:
        name: the prefix of their names.
        chains: all tables and chains.
    """
    rules: Rules = {}
    own = [(table, chain) for table, chain in chains if chain.startswith(f"{name}-")]
    for action in ("-F", "-X"):
        for table, chain in own:
            rules.setdefault(table, []).append(f"{action} {chain}")
    return rules
