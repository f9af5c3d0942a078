"""The three files that every container gets: ``hostname``, ``hosts`` and ``resolv.conf``.

They are written at start, when its addresses are known, and bind-mounted.  The
functions that return their texts do no I/O.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from palan.api.errors import InvalidParameter


__all__ = ["hosts_file", "write_files"]

_LOCALHOST = "127.0.0.1\tlocalhost\n"
_LOCALHOST6 = """\
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_file(
    extra_hosts: Iterable[str],
    *,
    addresses: Iterable[str],
    names: Sequence[str],
    gateways: Sequence[str],
    links: Iterable[str] = (),
    ipv6: bool = True,
) -> str:
    """Return the text of ``/etc/hosts``.

    Args:
        extra_hosts: ``name:address``; the address may be ``host-gateway``.
        addresses: the container's own addresses.
        names: the names for each.
        gateways: the addresses that ``host-gateway`` stands for.
        links: lines for the containers that it is linked to.
        ipv6: whether its loopback interface has an IPv6 address.

    Raises:
        InvalidParameter: ``host-gateway`` is used, but there is no such address.
    """
    lines = [_LOCALHOST, _LOCALHOST6] if ipv6 else [_LOCALHOST]
    for entry in extra_hosts:
        # Both "name:address" and "name=address" are in use; IPv6 has colons itself.
        separator = "=" if "=" in entry else ":"
        name, _, target = entry.partition(separator)
        target = target.strip("[]")
        targets = gateways if target == "host-gateway" else [target]
        if not targets:
            raise InvalidParameter("unable to derive the IP value for host-gateway")
        lines += (f"{each}\t{name}\n" for each in targets)
    lines += (f"{address}\t{' '.join(names)}\n" for address in addresses)
    lines += (f"{line}\n" for line in links)
    return "".join(lines)


def write_files(directory: Path, *, hostname: str, hosts: str, resolv: str) -> None:
    """Write the files in place: they may be bind-mounted, so their inodes must stay."""
    for name, text in (("hostname", f"{hostname}\n"), ("hosts", hosts), ("resolv.conf", resolv)):
        (directory / name).write_text(text)
