"""The configuration of an engine: dockerd's directives, with dockerd's names.

Every directive is one field of :class:`EngineConfig`.  The command line, the reading of
``daemon.json`` and the table in ``docs/configuration.md`` are derived from its annotation.
A directive has effect, or declares why not: an *inert* one is accepted with a warning,
because the engine does the same or nearly the same without it; a *refused* one is an
error, because the engine would be less safe or behave differently without it.
"""

import grp
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from palan.engine.paths import DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, Paths


__all__ = [
    "DEFAULT_CONFIG_FILE",
    "DEFAULT_HOST",
    "DEFAULT_PIDFILE",
    "AddressPool",
    "EngineConfig",
    "Option",
    "Runtime",
    "Ulimit",
]

DEFAULT_CONFIG_FILE: Final = Path("/etc/palan/daemon.json")
DEFAULT_HOST: Final = "unix:///run/palan.sock"
DEFAULT_PIDFILE: Final = "/run/palan.pid"

_SWARM: Final = "swarm mode is not supported yet"


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of a directive, besides its name, type and default.

    Attributes:
        help: a phrase that describes it.
        flag: the flag's name without dashes; empty if it equals the key.
        short: a one-letter flag.
        metavar: the name of the flag's value in the help text.
        inert: the reason why it has no effect; giving it is then a warning.
        refused: the reason why it is not supported; giving it is then an error.
        reload: whether SIGHUP applies a change of it.
    """

    help: str
    flag: str = ""
    short: str = ""
    metavar: str = ""
    inert: str = ""
    refused: str = ""
    reload: bool = False


class Ulimit(msgspec.Struct, frozen=True, rename="pascal"):
    """A resource limit; -1 is no limit."""

    name: str
    soft: int
    hard: int


class Runtime(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An OCI runtime: a program, and arguments to put before the runtime's own."""

    path: str = ""
    runtime_args: tuple[str, ...] = ()
    runtime_type: str = ""
    options: dict[str, Any] = {}


class AddressPool(msgspec.Struct, frozen=True):
    """A range; networks without a configured subnet get one of ``size`` bits from it."""

    base: str
    size: int


Strings = tuple[str, ...]


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The directives of an engine, with their defaults.

    :func:`palan.engine.config_load.load_config` makes a checked one; programs that embed
    the engine may make one directly.
    """

    # ---- directories, addresses and access ------------------------------------------

    hosts: Annotated[
        Strings,
        Option(
            "address to listen on: unix:///path, tcp://host:port or fd:// (systemd)",
            flag="host",
            short="H",
            metavar="URL",
        ),
    ] = (DEFAULT_HOST,)
    data_root: Annotated[str, Option("directory of durable state", short="g", metavar="DIR")] = str(
        DEFAULT_DATA_ROOT
    )
    exec_root: Annotated[str, Option("directory of run-time state", metavar="DIR")] = str(
        DEFAULT_EXEC_ROOT
    )
    pidfile: Annotated[
        str, Option("file for the process id, empty for none", short="p", metavar="FILE")
    ] = DEFAULT_PIDFILE
    group: Annotated[
        str,
        Option(
            "group that may use the unix sockets (default: docker where it exists, else root)",
            short="G",
            metavar="NAME",
        ),
    ] = ""
    tls: Annotated[bool | None, Option("serve TCP with TLS")] = None
    tlsverify: Annotated[
        bool | None, Option("serve TCP with TLS and require a client certificate")
    ] = None
    tlscacert: Annotated[
        str, Option("certificates that client certificates are checked with", metavar="FILE")
    ] = "/etc/palan/ca.pem"
    tlscert: Annotated[str, Option("the engine's certificate", metavar="FILE")] = (
        "/etc/palan/cert.pem"
    )
    tlskey: Annotated[str, Option("the engine's private key", metavar="FILE")] = (
        "/etc/palan/key.pem"
    )
    min_api_version: Annotated[str, Option("oldest API version to answer", metavar="VERSION")] = (
        "1.24"
    )
    authorization_plugins: Annotated[
        Strings,
        Option(
            "plugins that allow or deny requests",
            flag="authorization-plugin",
            metavar="NAME",
            refused="there are no authorization plugins; requests would go unchecked",
        ),
    ] = ()

    # ---- what it says -----------------------------------------------------------

    debug: Annotated[bool, Option("log debug messages", short="D", reload=True)] = False
    log_level: Annotated[
        Literal["debug", "info", "warn", "error", "fatal"],
        Option("lowest level of messages to log", short="l", metavar="LEVEL"),
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Option("form of the engine's own log", metavar="FORM")
    ] = "text"
    raw_logs: Annotated[bool, Option("log without colours")] = False
    labels: Annotated[
        Strings, Option("labels of the engine", flag="label", metavar="KEY=VALUE", reload=True)
    ] = ()
    experimental: Annotated[
        bool,
        Option("enable experimental features, which are checkpoints"),
    ] = False
    features: Annotated[
        dict[str, bool],
        Option(
            "switch a feature on or off; there is one: cdi",
            flag="feature",
            metavar="NAME=BOOL",
        ),
    ] = {}
    metrics_addr: Annotated[
        str,
        Option(
            "address to serve Prometheus metrics at",
            metavar="ADDRESS",
            refused="there are no metrics yet",
        ),
    ] = ""

    # ---- containers -------------------------------------------------------------

    default_runtime: Annotated[
        str,
        Option(
            "OCI runtime of containers that name none (default: the first that works)",
            metavar="NAME",
        ),
    ] = ""
    runtimes: Annotated[
        dict[str, Runtime],
        Option("more OCI runtimes", flag="add-runtime", metavar="NAME=PATH"),
    ] = {}
    exec_opts: Annotated[
        Strings,
        Option("runtime options: native.cgroupdriver", flag="exec-opt", metavar="KEY=VALUE"),
    ] = ()
    cgroup_parent: Annotated[str, Option("parent cgroup of containers", metavar="NAME")] = ""
    default_cgroupns_mode: Annotated[
        Literal["", "host", "private"],
        Option("cgroup namespace of containers (default: private on cgroup v2)", metavar="MODE"),
    ] = ""
    default_ipc_mode: Annotated[
        Literal["private", "shareable"], Option("IPC namespace of containers", metavar="MODE")
    ] = "private"
    default_shm_size: Annotated[
        int, Option("size of /dev/shm of containers, such as 64M", metavar="SIZE")
    ] = 64 * 1024 * 1024
    default_ulimits: Annotated[
        dict[str, Ulimit],
        Option("resource limits of containers", flag="default-ulimit", metavar="NAME=SOFT[:HARD]"),
    ] = {}
    init: Annotated[bool, Option("run an init process in containers")] = False
    init_path: Annotated[str, Option("the init program to use", metavar="FILE")] = ""
    seccomp_profile: Annotated[
        str,
        Option("seccomp profile: a file, builtin or unconfined", metavar="FILE"),
    ] = "builtin"
    no_new_privileges: Annotated[
        bool, Option("set no-new-privileges for containers that do not set it")
    ] = False
    selinux_enabled: Annotated[
        bool, Option("label containers for SELinux", refused="SELinux is not supported")
    ] = False
    userns_remap: Annotated[
        str,
        Option(
            "user whose subordinate ids containers get",
            metavar="USER[:GROUP]",
            refused="user namespaces are not supported yet; containers would run as real root",
        ),
    ] = ""
    cpu_rt_period: Annotated[
        int,
        Option(
            "real-time period of all containers, in microseconds",
            metavar="N",
        ),
    ] = 0
    cpu_rt_runtime: Annotated[
        int,
        Option(
            "real-time runtime of all containers, in microseconds",
            metavar="N",
        ),
    ] = 0
    cdi_spec_dirs: Annotated[
        Strings,
        Option(
            "directories of CDI device specifications",
            flag="cdi-spec-dir",
            metavar="DIR",
        ),
    ] = ("/etc/cdi", "/var/run/cdi")
    live_restore: Annotated[
        bool,
        Option(
            "keep containers running while the engine is down",
            inert="containers always outlive the engine",
            reload=True,
        ),
    ] = True
    shutdown_timeout: Annotated[
        int,
        Option(
            "seconds that the engine waits for its work to end when stopping",
            metavar="SECONDS",
            reload=True,
        ),
    ] = 15
    oom_score_adjust: Annotated[
        int, Option("oom_score_adj of the engine, from -1000 to 1000", metavar="N")
    ] = 0

    # ---- logs of containers -----------------------------------------------------

    log_driver: Annotated[str, Option("log driver of containers", metavar="NAME")] = "json-file"
    log_opts: Annotated[
        dict[str, str], Option("options of the log driver", flag="log-opt", metavar="KEY=VALUE")
    ] = {}

    # ---- images -----------------------------------------------------------------

    storage_driver: Annotated[
        Literal["", "overlay2", "overlayfs"],
        Option("storage driver of images: overlay2", short="s", metavar="NAME"),
    ] = ""
    storage_opts: Annotated[
        Strings,
        Option(
            "options of the storage driver",
            flag="storage-opt",
            metavar="KEY=VALUE",
            refused="overlay2 has no options here",
        ),
    ] = ()
    registry_mirrors: Annotated[
        Strings,
        Option(
            "mirrors of Docker Hub",
            flag="registry-mirror",
            metavar="URL",
            reload=True,
        ),
    ] = ()
    insecure_registries: Annotated[
        Strings,
        Option(
            "registries without (checked) TLS: host[:port] or CIDR",
            flag="insecure-registry",
            metavar="HOST",
            reload=True,
        ),
    ] = ()
    max_concurrent_downloads: Annotated[
        int,
        Option("layers downloaded at once by a pull, 0 for all", metavar="N", reload=True),
    ] = 3
    max_concurrent_uploads: Annotated[
        int,
        Option("blobs uploaded at once by a push, 0 for all", metavar="N", reload=True),
    ] = 5
    max_download_attempts: Annotated[
        int,
        Option("how often in a row a download may fail", metavar="N", reload=True),
    ] = 5
    http_proxy: Annotated[
        str,
        Option("proxy for http to registries", metavar="URL"),
    ] = ""
    https_proxy: Annotated[
        str,
        Option("proxy for https to registries", metavar="URL"),
    ] = ""
    no_proxy: Annotated[
        str,
        Option("hosts to reach without a proxy", metavar="HOSTS"),
    ] = ""
    builder: Annotated[
        dict[str, Any],
        Option("garbage collection of the build cache", inert="the build cache consists of images"),
    ] = {}

    # ---- networks ---------------------------------------------------------------

    bridge: Annotated[
        str,
        Option(
            "bridge of the default network, none for no such network (default: palan0)",
            short="b",
            metavar="NAME",
        ),
    ] = ""
    bip: Annotated[
        str, Option("address and network of the default bridge, as CIDR", metavar="CIDR")
    ] = ""
    bip6: Annotated[
        str,
        Option(
            "IPv6 address and network of the default bridge",
            metavar="CIDR",
        ),
    ] = ""
    fixed_cidr: Annotated[
        str, Option("range of container addresses in the default network", metavar="CIDR")
    ] = ""
    fixed_cidr_v6: Annotated[
        str,
        Option(
            "range of IPv6 addresses in the default network",
            metavar="CIDR",
        ),
    ] = ""
    default_gateway: Annotated[str, Option("IPv4 gateway of the default network", metavar="IP")] = (
        ""
    )
    default_gateway_v6: Annotated[
        str,
        Option(
            "IPv6 gateway of the default network",
            metavar="IP",
        ),
    ] = ""
    mtu: Annotated[int, Option("MTU of the default network", metavar="N")] = 1500
    icc: Annotated[bool, Option("let containers of the default network reach each other")] = True
    ip: Annotated[
        str, Option("host address on which ports are published by default", metavar="IP")
    ] = "0.0.0.0"  # noqa: S104 - dockerd's default
    ip_forward: Annotated[bool, Option("switch IP forwarding on")] = True
    ip_forward_no_drop: Annotated[
        bool,
        Option(
            "leave the policy of forwarding as it is",
            inert="the policy of forwarding is never changed",
        ),
    ] = False
    ip_masq: Annotated[
        bool, Option("masquerade packets that containers send to other machines")
    ] = True
    iptables: Annotated[bool, Option("make firewall rules")] = True
    ip6tables: Annotated[bool, Option("make firewall rules for IPv6")] = True
    ipv6: Annotated[bool, Option("IPv6 in the default network")] = False
    firewall_backend: Annotated[
        Literal["", "nftables", "iptables"],
        Option("back end of the firewall (default: nftables, else iptables)", metavar="NAME"),
    ] = ""
    userland_proxy: Annotated[
        bool,
        Option(
            "forward connections to published ports that no rule redirects",
        ),
    ] = True
    userland_proxy_path: Annotated[
        str,
        Option("proxy program", metavar="FILE", inert="the engine carries connections itself"),
    ] = ""
    dns: Annotated[Strings, Option("name servers of containers", metavar="IP")] = ()
    dns_opts: Annotated[
        Strings, Option("resolver options of containers", flag="dns-opt", metavar="OPTION")
    ] = ()
    dns_search: Annotated[Strings, Option("search domains of containers", metavar="DOMAIN")] = ()
    host_gateway_ips: Annotated[
        Strings,
        Option(
            "addresses that host-gateway stands for (default: those of the default bridge)",
            flag="host-gateway-ip",
            metavar="IP",
        ),
    ] = ()
    default_address_pools: Annotated[
        tuple[AddressPool, ...],
        Option(
            "where networks get their subnets",
            flag="default-address-pool",
            metavar="base=CIDR,size=N",
        ),
    ] = ()
    default_network_opts: Annotated[
        dict[str, dict[str, str]],
        Option(
            "driver options of new networks",
            flag="default-network-opt",
            metavar="DRIVER=KEY=VALUE",
        ),
    ] = {}
    network_control_plane_mtu: Annotated[
        int, Option("MTU of the swarm's control plane", metavar="N", inert=_SWARM)
    ] = 1500
    swarm_default_advertise_addr: Annotated[
        str, Option("address that a swarm node advertises", metavar="ADDRESS", inert=_SWARM)
    ] = ""
    node_generic_resources: Annotated[
        Strings,
        Option(
            "resources of a swarm node",
            flag="node-generic-resource",
            metavar="KIND=VALUE",
            inert=_SWARM,
        ),
    ] = ()

    # ---- dockerd's own parts ------------------------------------------------------

    containerd: Annotated[
        str,
        Option("socket of containerd", metavar="FILE", inert="there is no containerd below"),
    ] = ""
    containerd_namespace: Annotated[
        str,
        Option("containerd's namespace", metavar="NAME", inert="there is no containerd below"),
    ] = ""
    containerd_plugins_namespace: Annotated[
        str,
        Option(
            "containerd's namespace of plugins",
            metavar="NAME",
            inert="there is no containerd below",
        ),
    ] = ""

    # ---- derived -----------------------------------------------------------------

    @property
    def paths(self) -> Paths:
        """All files and directories of the engine."""
        return Paths(Path(self.data_root).absolute(), Path(self.exec_root).absolute())

    @property
    def instance(self) -> str:
        """A suffix for names of this engine's objects; empty for the default data root.

        It is derived from the data root, so it is the same at each start.
        """
        root = self.paths.data_root
        if root == DEFAULT_DATA_ROOT:
            return ""
        return hashlib.sha256(os.fsencode(root)).hexdigest()[:8]

    @property
    def bridge_name(self) -> str:
        """The interface of the default network; at most 15 bytes, the kernel's limit."""
        if self.bridge:
            return self.bridge
        return f"palan-{self.instance}" if self.instance else "palan0"

    @property
    def table_name(self) -> str:
        """The name of the engine's nftables tables."""
        return f"palan_{self.instance}" if self.instance else "palan"

    @property
    def cgroup_root(self) -> str:
        """The parent cgroup of containers that name no parent."""
        if self.cgroup_parent:
            return self.cgroup_parent
        return f"/palan-{self.instance}" if self.instance else "/palan"

    @property
    def socket_group(self) -> int:
        """The group id of unix sockets.

        Raises:
            KeyError: the configured group does not exist.
        """
        if self.group.isdecimal():
            return int(self.group)
        if self.group:
            return grp.getgrnam(self.group).gr_gid
        try:
            return grp.getgrnam("docker").gr_gid
        except KeyError:
            return 0
