import json

from palan.api.containers import ContainerConfig, HostConfig, Ulimit
from palan.engine.oci import Host, Namespaces, ProcessLimits, SpecInput, User, runtime_spec
from palan.engine.oci.capabilities import DEFAULT, KNOWN
from palan.engine.oci.mounts import DEFAULT_MASKED_PATHS, bind_mount


HOST = Host(bounding=frozenset(KNOWN) - {"CAP_SYS_RESOURCE"}, cgroup="v1")


def make(config=None, host_config=None, **changes):
    return runtime_spec(
        SpecInput(
            **{
                "config": config or ContainerConfig(),
                "host_config": host_config or HostConfig(shm_size=1 << 26),
                "id": "0" * 64,
                "hostname": "box",
                "rootfs": "/bundle/rootfs",
                "args": ["sh", "-c", "true"],
                "host": HOST,
                **changes,
            }
        )
    )


def types(spec):
    return {entry["type"]: entry.get("path", "") for entry in spec["linux"]["namespaces"]}


def test_a_plain_container():
    spec = make(cgroups_path="/palan/000")
    assert json.loads(json.dumps(spec)) == spec
    assert spec["ociVersion"] == "1.0.2"
    assert spec["root"] == {"path": "/bundle/rootfs", "readonly": False}
    assert spec["hostname"] == "box"
    assert spec["process"]["args"] == ["sh", "-c", "true"]
    assert spec["process"]["cwd"] == "/"
    assert spec["process"]["capabilities"]["effective"] == list(DEFAULT)
    assert spec["process"]["oomScoreAdj"] == 0
    assert "apparmorProfile" not in spec["process"]
    linux = spec["linux"]
    assert linux["cgroupsPath"] == "/palan/000"
    assert linux["maskedPaths"] == list(DEFAULT_MASKED_PATHS)
    assert linux["sysctl"] == {
        "net.ipv4.ping_group_range": "0 2147483647",
        "net.ipv4.ip_unprivileged_port_start": "0",
    }
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert list(linux["resources"]) == ["devices"]
    assert types(spec) == dict.fromkeys(("mount", "network", "uts", "pid", "ipc", "cgroup"), "")


def test_a_privileged_container():
    spec = make(host_config=HostConfig(privileged=True))
    capabilities = spec["process"]["capabilities"]["bounding"]
    assert "CAP_SYS_ADMIN" in capabilities
    assert "CAP_SYS_RESOURCE" not in capabilities
    for name in ("seccomp", "maskedPaths", "readonlyPaths"):
        assert name not in spec["linux"]


def test_a_users_process_is_permitted_what_root_is():
    # The kernel removes them when a program without file capabilities is executed.
    spec, root = make(user=User(1000, 1000)), make()
    assert spec["process"]["capabilities"] == root["process"]["capabilities"]


def test_namespaces_of_others():
    spec = make(
        ContainerConfig(domainname="example.test"),
        HostConfig(network_mode="host", pid_mode="host"),
        namespaces=Namespaces(network=None, pid=None, ipc="/proc/7/ns/ipc", uts=None, cgroup=None),
    )
    assert types(spec) == {"mount": "", "ipc": "/proc/7/ns/ipc"}
    assert "hostname" not in spec
    assert spec["linux"]["sysctl"] == {}


def test_the_network_namespace_made_for_it_is_still_its_own():
    spec = make(
        host_config=HostConfig(network_mode="bridge", sysctls={"net.ipv4.ip_forward": "1"}),
        namespaces=Namespaces(network="/run/netns/x"),
    )
    assert types(spec)["network"] == "/run/netns/x"
    assert spec["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert spec["linux"]["sysctl"]["net.ipv4.ip_forward"] == "1"
    joined = make(
        host_config=HostConfig(network_mode="container:x"),
        namespaces=Namespaces(network="/proc/7/ns/net"),
    )
    assert joined["linux"]["sysctl"] == {}


def test_the_domain_name_is_a_sysctl():
    spec = make(ContainerConfig(domainname="example.test"))
    assert spec["linux"]["sysctl"]["kernel.domainname"] == "example.test"


def test_the_init_program_needs_a_pid_namespace():
    spec = make(init_path="/usr/bin/tini")
    assert spec["process"]["args"] == ["/sbin/docker-init", "--", "sh", "-c", "true"]
    assert spec["mounts"][-1]["destination"] == "/sbin/docker-init"
    shared = make(init_path="/usr/bin/tini", namespaces=Namespaces(pid=None))
    assert shared["process"]["args"] == ["sh", "-c", "true"]
    assert shared["mounts"][-1]["destination"] != "/sbin/docker-init"


def test_limits_that_the_engine_cannot_raise_are_clamped():
    host = Host(
        bounding=HOST.bounding,
        limits=ProcessLimits(hard={"nofile": 100}, may_raise=False, oom_score_floor=0),
    )
    spec = make(
        host_config=HostConfig(
            ulimits=[Ulimit(name="nofile", soft=50, hard=200)], oom_score_adj=-500
        ),
        host=host,
        default_ulimits={"core": Ulimit(name="core", soft=0, hard=0)},
    )
    assert spec["process"]["oomScoreAdj"] == 0
    assert spec["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 50, "hard": 100},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]


def test_confinement():
    spec = make(
        host_config=HostConfig(
            security_opt=["no-new-privileges", "seccomp=unconfined", "systempaths=unconfined"],
            readonly_rootfs=True,
        )
    )
    assert spec["process"]["noNewPrivileges"]
    assert spec["root"]["readonly"]
    for name in ("seccomp", "maskedPaths", "readonlyPaths"):
        assert name not in spec["linux"]
    own = make(host_config=HostConfig(privileged=True, masked_paths=["/a"], readonly_paths=[]))
    assert own["linux"]["maskedPaths"] == ["/a"]
    assert "readonlyPaths" not in own["linux"]


def test_apparmor_where_there_is_any():
    host = Host(bounding=HOST.bounding, apparmor=True)

    def profile(**fields):
        spec = make(host_config=HostConfig(**fields), host=host, default_apparmor="default")
        return spec["process"].get("apparmorProfile")

    assert profile() == "default"
    assert profile(privileged=True) == "unconfined"
    assert profile(security_opt=["apparmor=mine"]) == "mine"


def test_the_rest_of_it():
    spec = make(
        ContainerConfig(tty=True, working_dir="/data", env=["A=1"]),
        HostConfig(console_size=(24, 80), annotations={"note": "kept"}),
        mounts=[bind_mount("/a", "/b", propagation="rshared")],
    )
    assert spec["process"]["terminal"]
    assert spec["process"]["consoleSize"] == {"height": 24, "width": 80}
    assert spec["process"]["cwd"] == "/data"
    assert spec["process"]["env"][-2:] == ["TERM=xterm", "A=1"]
    assert spec["annotations"] == {"note": "kept"}
    assert spec["linux"]["rootfsPropagation"] == "shared"
