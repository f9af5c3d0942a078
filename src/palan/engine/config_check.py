"""Checks of a configuration beyond its types, with dockerd's messages where it has some."""

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from palan.api.version import MAX_VERSION, MIN_VERSION, Version
from palan.engine.config import EngineConfig
from palan.engine.hosts import parse_host
from palan.host.interface_names import rule_interface_problem


__all__ = ["ConfigError", "check"]

_ULIMITS: Final = {
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
}


class ConfigError(ValueError):
    """An invalid configuration; the message describes the problem."""


def check(config: EngineConfig, warnings: Iterable[str] = ()) -> tuple[str, ...]:
    """Check that the directives are valid, alone and in combination.

    Returns:
        The given warnings and new ones.

    Raises:
        ConfigError: a directive is invalid.
    """
    found = list(warnings)
    try:
        _check_hosts(config, found)
        _check_identity(config)
        _check_numbers(config)
        _check_runtimes(config)
        _check_containers(config, found)
        _check_images(config)
        _check_default_network(config)
        _check_networks(config)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return tuple(found)


def _check_hosts(config: EngineConfig, warnings: list[str]) -> None:
    hosts = [parse_host(host, tls=uses_tls(config)) for host in config.hosts]
    if not hosts:
        raise ConfigError("hosts: there must be at least one place to listen at")
    if len(set(hosts)) != len(hosts):
        raise ConfigError("hosts: the same address is given twice")
    for host in hosts:
        if host.kind != "tcp" or config.tlsverify:
            continue
        if host.loopback:
            warnings.append(
                f"{host}: every user and container of this machine that reaches it gets root"
            )
        elif config.tlsverify is None and config.tls is not False:
            raise ConfigError(
                f"{host}: everyone who reaches it would get root on this machine; "
                "use --tlsverify, or --tls=false to do it nevertheless"
            )
        else:
            warnings.append(f"{host}: everyone who reaches it gets root on this machine")


def _check_roots(config: EngineConfig) -> None:
    for name in ("data_root", "exec_root"):
        if not getattr(config, name):
            raise ConfigError(f"{name.replace('_', '-')} must not be empty")
    for name in ("data_root", "exec_root"):
        path = str(getattr(config.paths, name))
        if ":" in path:
            raise ConfigError(
                f"{name.replace('_', '-')}: {path} has a colon in it, which the path of a log"
                " cannot have"
            )
    if config.paths.data_root == config.paths.exec_root:
        raise ConfigError("data-root and exec-root must not be the same directory")


def _check_identity(config: EngineConfig) -> None:
    _check_roots(config)
    try:
        _ = config.socket_group
    except KeyError:
        raise ConfigError(f"group {config.group} not found") from None
    try:
        oldest = Version.parse(config.min_api_version)
    except ValueError:
        raise ConfigError(f"invalid minimum API version: {config.min_api_version}") from None
    if not MIN_VERSION <= oldest <= MAX_VERSION:
        raise ConfigError(
            f"invalid minimum API version: {oldest} is not between {MIN_VERSION} and {MAX_VERSION}"
        )
    seen: dict[str, str] = {}
    for label in config.labels:
        key, equals, value = label.partition("=")
        if not key or not equals:
            raise ConfigError(f"bad attribute format: {label}")
        if seen.setdefault(key, value) != value:
            raise ConfigError(f"conflict labels for {key}={value} and {key}={seen[key]}")


def uses_tls(config: EngineConfig) -> bool:
    """Whether TCP uses TLS: as in dockerd, ``--tlsverify`` implies ``--tls``."""
    return bool(config.tls or config.tlsverify)


def _check_numbers(config: EngineConfig) -> None:
    if config.max_concurrent_downloads < 0:
        raise ConfigError(f"invalid max concurrent downloads: {config.max_concurrent_downloads}")
    if config.max_concurrent_uploads < 0:
        raise ConfigError(f"invalid max concurrent uploads: {config.max_concurrent_uploads}")
    if config.max_download_attempts < 1:
        raise ConfigError(f"invalid max download attempts: {config.max_download_attempts}")
    if not 68 <= config.mtu <= 65535:
        raise ConfigError(f"invalid default MTU: {config.mtu}")
    if config.default_shm_size <= 0:
        raise ConfigError(f"invalid default-shm-size: {config.default_shm_size}")
    if not -1000 <= config.oom_score_adjust <= 1000:
        raise ConfigError(
            f"oom-score-adjust must be between -1000 and 1000, not {config.oom_score_adjust}"
        )
    if config.shutdown_timeout < -1:
        raise ConfigError("shutdown-timeout must be a number of seconds, or -1 for no limit")


def _check_runtimes(config: EngineConfig) -> None:
    for name, runtime in config.runtimes.items():
        if runtime.runtime_type or runtime.options:
            raise ConfigError(
                f"runtime {name}: runtimeType and options are for containerd; give a path"
            )
        if not runtime.path:
            raise ConfigError(f"runtime {name}: it must have a path")
    for option in config.exec_opts:
        key, _, value = option.partition("=")
        if key.strip().lower() != "native.cgroupdriver":
            raise ConfigError(f"exec-opts: unknown option {key}")
        if value != "cgroupfs":
            raise ConfigError(f"native.cgroupdriver option {value} not supported: use cgroupfs")


def _check_containers(config: EngineConfig, warnings: list[str]) -> None:
    for name, limit in config.default_ulimits.items():
        if name not in _ULIMITS or limit.name != name:
            raise ConfigError(f"invalid ulimit type: {limit.name}")
        unlimited_soft = limit.soft == -1 and limit.hard != -1
        if limit.hard != -1 and (unlimited_soft or limit.soft > limit.hard):
            raise ConfigError(
                f"default-ulimits: the soft limit of {name} ({limit.soft}) must be less than or "
                f"equal to its hard limit ({limit.hard})"
            )
    profile = config.seccomp_profile
    if profile not in ("", "builtin", "unconfined") and not Path(profile).is_file():
        raise ConfigError(f"seccomp-profile: {profile} is not a file, builtin or unconfined")
    if profile == "unconfined":
        warnings.append("seccomp-profile: containers run without a seccomp profile")


def _check_images(config: EngineConfig) -> None:
    for mirror in config.registry_mirrors:
        url = urlsplit(mirror)
        if url.username is not None:  # first, as the other messages show the URL
            raise ConfigError("invalid mirror: username/password not allowed in URI")
        if url.scheme not in ("http", "https"):
            raise ConfigError(f'invalid mirror: unsupported scheme "{url.scheme}" in "{mirror}"')
        if not url.hostname or url.query or url.fragment:
            raise ConfigError(f'invalid mirror: "{mirror}" must be a URL without a query')
    for registry in config.insecure_registries:
        if "://" in registry:
            raise ConfigError(f"insecure registry {registry} should not contain '://'")
        if not registry or registry.startswith("-") or registry.endswith("-"):
            raise ConfigError(f"insecure registry {registry} is not valid")
    for key in ("http_proxy", "https_proxy"):
        proxy = getattr(config, key)
        if proxy and urlsplit(proxy).hostname is None:
            # Not shown, because it may contain a password.
            raise ConfigError(f"{key.replace('_', '-')}: the value is not a URL")


def _check_default_network(config: EngineConfig) -> None:
    if config.bridge and config.bip:
        raise ConfigError("bridge and bip are mutually exclusive: give only one of them")
    if config.bridge and (problem := rule_interface_problem(config.bridge)):
        raise ConfigError(f"bridge: {problem}")
    if not config.iptables and not config.icc:
        raise ConfigError("icc=false needs firewall rules: set icc or iptables to true")
    network = _check_bip(config.bip) if config.bip else None
    if config.fixed_cidr:
        fixed = _network(config.fixed_cidr)
        if network is not None and not (
            isinstance(fixed, IPv4Network) and fixed.subnet_of(network)
        ):
            raise ConfigError(f"fixed-cidr: {fixed} is not within the network of bip, {network}")
    if config.default_gateway:
        gateway = _ip(config.default_gateway)
        if network is not None and gateway not in network:
            raise ConfigError(
                f"default-gateway: {gateway} is not within the network of bip, {network}"
            )
    _ip(config.ip)
    _check_default_ipv6(config)


def _check_default_ipv6(config: EngineConfig) -> None:
    for key, value in (
        ("bip6", config.bip6),
        ("fixed-cidr-v6", config.fixed_cidr_v6),
        ("default-gateway-v6", config.default_gateway_v6),
    ):
        if not value:
            continue
        if not config.ipv6:
            raise ConfigError(f"{key} needs IPv6 in the default network: set ipv6 to true")
        address = _ip(value) if key == "default-gateway-v6" else _network(value)
        if address.version != 6:
            raise ConfigError(f"{key}: {value} is not IPv6")
    if config.bip6 and config.fixed_cidr_v6:
        network, fixed = _network(config.bip6), _network(config.fixed_cidr_v6)
        if not (
            isinstance(network, IPv6Network)
            and isinstance(fixed, IPv6Network)
            and fixed.subnet_of(network)
        ):
            raise ConfigError(f"fixed-cidr-v6: {fixed} is not within the network of bip6")


def _check_bip(bip: str) -> IPv4Network:
    interface = ipaddress.ip_interface(_cidr(bip))
    network = interface.network
    if not isinstance(network, IPv4Network):
        raise ConfigError(f"bip: {bip} is not an IPv4 address")
    if network.prefixlen < 31 and interface.ip in (network[0], network[-1]):
        raise ConfigError(f"bip: {bip} must be the address of a host, not of a network")
    return network


def _check_networks(config: EngineConfig) -> None:
    for address in config.dns:
        _ip(address)
    for address in config.host_gateway_ips:
        _ip(address)
    for domain in config.dns_search:
        if domain != "." and not re.fullmatch(r"[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?\.?", domain):
            raise ConfigError(f"{domain} is not a valid domain")
    pools = []
    for pool in config.default_address_pools:
        base = _network(pool.base)
        if not base.prefixlen <= pool.size <= base.max_prefixlen:
            raise ConfigError(
                f"invalid default address pool: size {pool.size} does not fit into {base}"
            )
        pools.append(base)
    for index, base in enumerate(pools):
        for other in pools[:index]:
            if base.version == other.version and base.overlaps(other):
                raise ConfigError(f"default address pools overlap: {other} and {base}")


def _cidr(text: str) -> str:
    if "/" not in text:
        raise ConfigError(f"invalid CIDR address: {text}")
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        raise ConfigError(f"invalid CIDR address: {text}") from None
    return text


def _network(text: str) -> IPv4Network | IPv6Network:
    return ipaddress.ip_network(_cidr(text), strict=False)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(f"IP address is not correctly formatted: {text}") from None
