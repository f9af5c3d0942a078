"""The nftables rules of one engine: static chains, and maps that ports are added to.

Everything is in one table of the engine's own, so a host firewall's tables are left
alone and removing the engine is removing its table.  Publishing a port adds one
element to a map; no chain ever changes.

A packet to a published port is found either by protocol and port alone (published
on all addresses) or together with the address it came to.  ``fib daddr type local``
makes both apply to packets for this host only.  Packets from the host itself pass
the output hook; those from 127.0.0.0/8 need the bridge's ``route_localnet`` and a
source that the container can answer to.
"""

from collections.abc import Iterable
from dataclasses import dataclass


__all__ = ["Publication", "add_ports", "delete_ports", "static_rules"]

_ANY = "0.0.0.0"  # noqa: S104 - a word of Docker's, not an address that is bound here


@dataclass(frozen=True, slots=True)
class Publication:
    """A port of the host and where its packets go."""

    host_ip: str
    host_port: int
    protocol: str
    address: str
    port: int

    @property
    def map(self) -> str:
        """The map that it is an element of."""
        return "published" if self.host_ip == _ANY else "published_at"

    @property
    def key(self) -> str:
        """Its key there."""
        short = f"{self.protocol} . {self.host_port}"
        return short if self.host_ip == _ANY else f"{self.host_ip} . {short}"


def static_rules(table: str, bridge: str, subnet: str, *, masquerade: bool, talk: bool) -> str:
    """The script that replaces the engine's whole table by a fresh one without ports.

    Args:
        table: the table's name.
        bridge: the interface of the default bridge.
        subnet: its subnet.
        masquerade: whether packets that leave the bridge take the host's address.
        talk: whether containers on the bridge may reach each other (``--icc``).
    """
    out = f'ip saddr {subnet} oifname != "{bridge}" masquerade' if masquerade else ""
    within = f'iifname "{bridge}" oifname "{bridge}"'
    between = (
        f"{within} accept"
        if talk
        else f"{within} ct state established,related accept\n"
        f"    {within} ct status dnat accept\n"
        f"    {within} drop"
    )
    lookup = """fib daddr type local dnat ip to meta l4proto . th dport map @published
    fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published_at"""
    return f"""
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  map published {{
    type inet_proto . inet_service : ipv4_addr . inet_service
  }}
  map published_at {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    {lookup}
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    {lookup}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    {out}
    oifname "{bridge}" ip saddr 127.0.0.0/8 masquerade
    ip saddr {subnet} ip daddr {subnet} ct status dnat masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    {between}
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" ct status dnat accept
    oifname "{bridge}" iifname != "{bridge}" drop
  }}
}}
"""


def add_ports(table: str, publications: Iterable[Publication]) -> str:
    """The script that publishes ports."""
    return "\n".join(
        f"add element ip {table} {p.map} {{ {p.key} : {p.address} . {p.port} }}"
        for p in publications
    )


def delete_ports(table: str, publications: Iterable[Publication]) -> str:
    """The script that takes ports back."""
    return "\n".join(f"delete element ip {table} {p.map} {{ {p.key} }}" for p in publications)
