"""Requests of old versions lifted, and results lowered; compared with recordings of dockerd."""

import copy
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.contract import recorded_steps

from palan.api.changes import CHANGES, lift, lower, lowers
from palan.api.errors import InvalidParameter
from palan.api.registry import endpoints
from palan.api.version import MAX_VERSION, MIN_VERSION, Version


def at(text: str) -> Version:
    return Version.parse(text)


def lifted(operation: str, version: str, body: Any = None, **query: list[str]) -> Any:
    """Return the body and the query after lifting."""
    body = lift(operation, at(version), query, copy.deepcopy(body))
    return body, query


def created(version: str, body: dict[str, Any]) -> Any:
    return lifted("containers.create", version, body)[0]


# ---- the machinery ----------------------------------------------------------


def test_changes_name_declared_operations():
    declared = {endpoint.name for endpoint in endpoints()}
    named = {operation for change in CHANGES for operation in change.operations}
    assert named <= declared


def test_changes_do_something():
    assert all(change.lift or change.lower for change in CHANGES)
    assert all(MIN_VERSION < change.before <= MAX_VERSION for change in CHANGES)


def test_newest_version_passes_untouched():
    body = {"HostConfig": {"Annotations": {"a": "b"}}}
    query = {"platform": ["linux"]}
    for operation in {operation for change in CHANGES for operation in change.operations}:
        assert lift(operation, MAX_VERSION, query, body) is body
        assert not lowers(operation, MAX_VERSION)
        assert lower(operation, MAX_VERSION, body) is body
    assert body == {"HostConfig": {"Annotations": {"a": "b"}}}
    assert query == {"platform": ["linux"]}


def test_lowers_tells_whether_lower_is_needed():
    assert lowers("containers.inspect", at("1.51"))
    assert not lowers("containers.inspect", at("1.52"))
    assert not lowers("containers.start", at("1.24"))


def test_notices_of_a_lift_become_warnings():
    notices: list[str] = []
    lift("containers.create", at("1.44"), {}, {"MacAddress": "02:42:0a:e7:14:05"}, notices)
    assert len(notices) == 1
    assert lower("containers.create", at("1.44"), {"Id": "x", "Warnings": []}, notices) == {
        "Id": "x",
        "Warnings": notices,
    }
    assert lower("containers.create", at("1.44"), {"Warnings": None}, notices) == {
        "Warnings": notices
    }


KEYS = re.findall(
    r"\S+",
    """
    HostConfig Mounts BindOptions IpcMode NetworkMode NetworkingConfig Type Sysctls Mode
    EndpointsConfig MacAddress PortBindings TaskTemplate ContainerSpec Networks Configs
    Privileges Healthcheck Templating VolumeOptions EndpointConfig Annotations Resources
    net.ipv4.conf.eth0.forwarding 80/tcp
    """,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    operation=st.sampled_from(sorted({op for change in CHANGES for op in change.operations})),
    minor=st.integers(24, 55),
    body=json_values,
    text=st.text(max_size=12),
)
def test_lifts_survive_any_body(operation: str, minor: int, body: Any, text: str):
    query = {"filters": [text], "filter": [text], "platform": [text, text]}
    with suppress(InvalidParameter):
        lift(operation, Version(1, minor), query, body)


# ---- create -----------------------------------------------------------------


def test_create_shares_ipc_below_1_40():
    assert created("1.39", {})["HostConfig"]["IpcMode"] == "shareable"
    assert created("1.39", {"HostConfig": {"IpcMode": ""}})["HostConfig"]["IpcMode"] == "shareable"
    assert created("1.39", {"HostConfig": {"IpcMode": "host"}})["HostConfig"]["IpcMode"] == "host"
    assert created("1.40", {}) == {}


def test_create_ignores_what_came_later():
    body = {
        "Healthcheck": {"Test": ["NONE"], "StartInterval": 5},
        "HostConfig": {
            "IpcMode": "private",
            "Annotations": {"a": "b"},
            "ConsoleSize": [24, 80],
            "Mounts": [
                {
                    "Type": "bind",
                    "BindOptions": {"NonRecursive": True, "CreateMountpoint": True},
                    "VolumeOptions": {"NoCopy": True},
                }
            ],
        },
        "NetworkingConfig": {"EndpointsConfig": {"net": {"GwPriority": 5, "MacAddress": "x"}}},
    }
    assert created("1.39", body) == {
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {"IpcMode": "private", "Mounts": [{"Type": "bind", "BindOptions": {}}]},
        "NetworkingConfig": {"EndpointsConfig": {"net": {}}},
    }
    kept = created("1.44", body)
    assert kept["HostConfig"] == body["HostConfig"]
    assert kept["Healthcheck"] == body["Healthcheck"]
    assert kept["NetworkingConfig"] == {"EndpointsConfig": {"net": {"MacAddress": "x"}}}
    assert created("1.52", body) == body


def test_create_takes_no_platform_below_1_41():
    assert lifted("containers.create", "1.40", {"HostConfig": {}}, platform=["x"])[1] == {}
    assert lifted("containers.create", "1.41", {}, platform=["x"])[1] == {"platform": ["x"]}


def test_create_refuses_the_list_of_capabilities_of_1_40():
    body = {"HostConfig": {"Capabilities": ["CAP_KILL"], "IpcMode": "private"}}
    with pytest.raises(InvalidParameter, match="Capabilities field is not supported"):
        created("1.40", body)
    assert created("1.39", body) == body
    assert created("1.41", body) == body


def test_create_makes_read_only_binds_non_recursive_below_1_44():
    def mount(**more: Any) -> dict[str, Any]:
        return {"HostConfig": {"Mounts": [{"Type": "bind", **more}]}}

    assert created("1.43", mount(ReadOnly=True)) == mount(
        ReadOnly=True, BindOptions={"ReadOnlyNonRecursive": True}
    )
    assert created("1.43", mount()) == mount()
    assert created("1.44", mount(ReadOnly=True)) == mount(ReadOnly=True)
    with pytest.raises(InvalidParameter, match=r"needs API v1\.44 or newer"):
        created("1.43", mount(BindOptions={"ReadOnlyForceRecursive": True}))


@pytest.mark.parametrize(
    ("before", "mount", "message"),
    [
        ("1.44", {"Type": "volume", "VolumeOptions": {"Subpath": "a"}}, "needs API v1.45"),
        ("1.47", {"Type": "image", "Source": "x"}, "needs API v1.48"),
    ],
)
def test_create_refuses_mounts_that_came_later(before: str, mount: dict[str, Any], message: str):
    body = {"HostConfig": {"Mounts": [mount]}}
    with pytest.raises(InvalidParameter, match=message):
        created(before, body)
    assert created("1.48", body) == body


def test_create_refuses_several_endpoints_below_1_44():
    body: dict[str, Any] = {"NetworkingConfig": {"EndpointsConfig": {"a": {}, "b": {}}}}
    with pytest.raises(InvalidParameter, match="multiple network endpoints: a, b"):
        created("1.43", body)
    assert created("1.44", body) == body


MAC = "02:42:0a:e7:14:05"


def test_create_gives_the_containers_mac_address_to_its_endpoint():
    assert created("1.43", {"MacAddress": MAC}) == {
        "NetworkingConfig": {"EndpointsConfig": {"bridge": {"MacAddress": MAC}}}
    }
    networked = {
        "MacAddress": MAC,
        "HostConfig": {"NetworkMode": "net"},
        "NetworkingConfig": {"EndpointsConfig": {"other": None}},
    }
    assert created("1.43", networked)["NetworkingConfig"] == {
        "EndpointsConfig": {"other": {"MacAddress": MAC}}
    }
    with pytest.raises(InvalidParameter, match="must match the identity"):
        created("1.44", networked)
    with pytest.raises(InvalidParameter, match="mac-address and the network mode"):
        created("1.43", {"MacAddress": MAC, "HostConfig": {"NetworkMode": "host"}})
    with pytest.raises(InvalidParameter, match="must match the endpoint-specific"):
        created(
            "1.44",
            {
                "MacAddress": MAC,
                "NetworkingConfig": {"EndpointsConfig": {"default": {"MacAddress": "other"}}},
            },
        )
    assert created("1.52", networked) == networked


def test_create_moves_settings_of_eth0_to_its_endpoint_below_1_48():
    body: dict[str, Any] = {
        "HostConfig": {
            "NetworkMode": "net",
            "Sysctls": {"net.ipv4.conf.eth0.forwarding": "1", "kernel.shmmax": "5"},
        }
    }
    notices: list[str] = []
    assert lift("containers.create", at("1.47"), {}, copy.deepcopy(body), notices) == {
        "HostConfig": {"NetworkMode": "net", "Sysctls": {"kernel.shmmax": "5"}},
        "NetworkingConfig": {
            "EndpointsConfig": {
                "net": {
                    "DriverOpts": {
                        "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1"
                    }
                }
            }
        },
    }
    (notice,) = notices
    assert notice == (
        'Migrated sysctl "net.ipv4.conf.eth0.forwarding" to '
        'DriverOpts{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.forwarding=1"}.'
    )
    assert created("1.48", body) == body
    with pytest.raises(InvalidParameter, match="unable to determine network endpoint"):
        created("1.47", {"HostConfig": {"Sysctls": {"net.ipv4.conf.eth1.forwarding": "1"}}})


def test_create_publishes_ports_without_places_anywhere_below_1_52():
    body = {"HostConfig": {"PortBindings": {"80/tcp": [], "81/tcp": None, "82/tcp": [{"x": 1}]}}}
    assert created("1.51", body)["HostConfig"]["PortBindings"] == {
        "80/tcp": [{}],
        "81/tcp": [{}],
        "82/tcp": [{"x": 1}],
    }
    assert created("1.52", body) == body


def test_create_takes_a_string_for_one_word_below_1_52():
    body = {"Cmd": "echo hi", "Entrypoint": "/run", "Shell": ["/bin/sh"]}
    assert created("1.51", body) == {
        "Cmd": ["echo hi"], "Entrypoint": ["/run"], "Shell": ["/bin/sh"]
    }  # fmt: skip
    assert created("1.52", body) == body


def test_create_does_not_warn_of_volume_drivers_below_1_48():
    warning = (
        "WARNING: the container-wide volume-driver configuration is ignored for volumes "
        "specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead"
    )
    result = {"Id": "x", "Warnings": ["other", warning]}
    assert lower("containers.create", at("1.47"), dict(result)) == {
        "Id": "x",
        "Warnings": ["other"],
    }
    assert lower("containers.create", at("1.48"), dict(result)) == result


# ---- other requests ---------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "since", "parameter"),
    [
        ("containers.stop", "1.42", "signal"),
        ("containers.restart", "1.42", "signal"),
        ("containers.stats", "1.41", "one-shot"),
        ("containers.wait", "1.30", "condition"),
        ("images.create", "1.32", "platform"),
        ("images.push", "1.46", "platform"),
        ("images.get", "1.48", "platform"),
        ("images.get_many", "1.48", "platform"),
        ("images.load", "1.48", "platform"),
        ("images.history", "1.48", "platform"),
        ("images.inspect", "1.48", "manifests"),
        ("images.inspect", "1.49", "platform"),
        ("images.remove", "1.50", "platforms"),
        ("images.list", "1.42", "shared-size"),
        ("images.list", "1.47", "manifests"),
        ("images.list", "1.54", "identity"),
        ("build.build", "1.32", "platform"),
        ("build.build", "1.40", "outputs"),
        ("services.list", "1.41", "status"),
        ("system.disk_usage", "1.42", "type"),
        ("system.disk_usage", "1.52", "verbose"),
    ],
)
def test_parameters_that_came_later_are_ignored(operation: str, since: str, parameter: str):
    version = at(since)
    query = {parameter: ["x"]}
    lift(operation, Version(1, version.minor - 1), query, None)
    assert query == {}
    query = {parameter: ["x"]}
    lift(operation, version, query, None)
    assert query == {parameter: ["x"]}


@pytest.mark.parametrize(
    ("operation", "since", "key", "body"),
    [
        ("containers.update", "1.40", "PidsLimit", {"PidsLimit": 5}),
        ("containers.update", "1.55", "BlkioDeviceReadBps", {"BlkioDeviceReadBps": []}),
        ("exec.create", "1.42", "ConsoleSize", {"ConsoleSize": [1, 2]}),
        ("exec.start", "1.42", "ConsoleSize", {"ConsoleSize": [1, 2]}),
        ("networks.create", "1.48", "EnableIPv4", {"EnableIPv4": False}),
        ("networks.connect", "1.54", "MacAddress", {"EndpointConfig": {"MacAddress": MAC}}),
        ("volumes.create", "1.42", "ClusterVolumeSpec", {"ClusterVolumeSpec": {}}),
        ("swarm.init", "1.39", "SubnetSize", {"SubnetSize": 24}),
        ("swarm.init", "1.40", "DataPathPort", {"DataPathPort": 4789}),
        ("services.create", "1.40", "Sysctls", {"TaskTemplate": {"ContainerSpec": {"Sysctls": 1}}}),
        ("services.update", "1.41", "GlobalJob", {"Mode": {"GlobalJob": {}}}),
        (
            "services.update",
            "1.46",
            "OomScoreAdj",
            {"TaskTemplate": {"ContainerSpec": {"OomScoreAdj": 5}}},
        ),
        ("services.create", "1.52", "SwapBytes", {"TaskTemplate": {"Resources": {"SwapBytes": 5}}}),
    ],
)
def test_keys_that_came_later_are_ignored(
    operation: str, since: str, key: str, body: dict[str, Any]
):
    version = at(since)
    below, _ = lifted(operation, f"1.{version.minor - 1}", body)
    assert key not in json.dumps(below)
    assert lifted(operation, since, body)[0] == body


def test_volume_prune_takes_all_below_1_42():
    def filters(given: str) -> Any:
        return json.loads(lifted("volumes.prune", "1.41", filters=[given])[1]["filters"][0])

    assert filters("") == {"all": ["true"]}
    assert filters('{"label": ["x"]}') == {"label": ["x"], "all": ["true"]}
    assert filters('{"all": {"false": true}}') == {"all": {"false": True, "true": True}}
    assert lifted("volumes.prune", "1.41", filters=["{"])[1] == {"filters": ["{"]}
    assert lifted("volumes.prune", "1.41")[1] == {"filters": ['{"all":["true"]}']}
    assert lifted("volumes.prune", "1.42")[1] == {}


def test_image_list_takes_a_pattern_below_1_25():
    assert lifted("images.list", "1.24", filter=["busy*"])[1] == {
        "filters": ['{"reference":["busy*"]}']
    }
    given = {"filter": ["a"], "filters": ['{"reference":["b"]}']}
    assert lifted("images.list", "1.24", **given)[1] == {"filters": ['{"reference":["b"]}']}
    assert lifted("images.list", "1.25", filter=["a"])[1] == {"filter": ["a"]}


def test_several_platforms_are_refused_from_1_48_to_1_51():
    with pytest.raises(InvalidParameter, match="multiple platform parameters"):
        lifted("images.get", "1.51", platform=["a", "b"])
    assert lifted("images.get", "1.47", platform=["a", "b"])[1] == {}
    assert lifted("images.get", "1.52", platform=["a", "b"])[1] == {"platform": ["a", "b"]}


def test_build_prune_keeps_storage_below_1_48():
    query = {"keep-storage": ["5"], "reserved-space": ["6"], "max-used-space": ["7"]}
    assert lifted("build.prune", "1.47", **query)[1] == {"reserved-space": ["5"]}
    assert lifted("build.prune", "1.48", **query)[1] == query


def test_templates_are_refused_below_1_37():
    for group in ("secrets", "configs"):
        with pytest.raises(InvalidParameter, match=r"version: 1\.36"):
            lifted(f"{group}.create", "1.36", {"Templating": {"Name": "golang"}})
        lifted(f"{group}.create", "1.37", {"Templating": {"Name": "golang"}})


def test_services_have_networks_of_their_own_below_1_44():
    body = {"Networks": [{"Target": "a"}], "TaskTemplate": {}}
    assert lifted("services.create", "1.43", body)[0] == {
        "TaskTemplate": {"Networks": [{"Target": "a"}]}
    }
    assert lifted("services.create", "1.44", body)[0] == body
    result = {"Spec": {"TaskTemplate": {"Networks": [{"Target": "a"}]}}}
    below = lower("services.list", at("1.24"), [copy.deepcopy(result)])
    assert below[0]["Spec"]["Networks"] == [{"Target": "a"}]
    assert lower("services.list", at("1.25"), [copy.deepcopy(result)]) == [result]


# ---- results ----------------------------------------------------------------


def inspected(version: str, **more: Any) -> Any:
    result = {
        "Id": "0123456789abcdef",
        "Config": {"Hostname": "host"},
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {}},
        **more,
    }
    return lower("containers.inspect", at(version), copy.deepcopy(result))


def test_inspect_shows_the_bridge_on_top_below_1_52():
    networks = {"bridge": {"IPAddress": "172.17.0.2", "MacAddress": "02:42:ac:11:00:02"}}
    settings = inspected("1.51", NetworkSettings={"Networks": networks})["NetworkSettings"]
    assert settings["IPAddress"] == "172.17.0.2"
    assert settings["Networks"] == networks
    assert "IPAddress" not in inspected("1.52", NetworkSettings={"Networks": networks})
    assert "IPAddress" not in inspected("1.51")["NetworkSettings"]


def test_inspect_shows_only_a_mac_address_that_was_asked_for():
    def config(mac: str, ip: str) -> Any:
        networks = {"bridge": {"IPAddress": ip, "MacAddress": mac}}
        return inspected("1.51", NetworkSettings={"Networks": networks})["Config"]

    assert "MacAddress" not in config("02:42:ac:11:00:02", "172.17.0.2")
    assert config(MAC, "172.17.0.2")["MacAddress"] == MAC
    assert config(MAC, "")["MacAddress"] == MAC
    assert "MacAddress" not in config("", "")


def test_inspect_has_the_id_among_aliases_below_1_45():
    networks = {"net": {"Aliases": ["a"]}, "bridge": {"Aliases": None}}
    shown = inspected("1.44", NetworkSettings={"Networks": networks})["NetworkSettings"]["Networks"]
    assert shown["net"]["Aliases"] == ["a", "0123456789ab", "host"]
    assert shown["bridge"]["Aliases"] is None


def test_inspect_shows_a_graph_driver_below_1_52():
    shown = inspected("1.51", Storage={"RootFS": {"Snapshot": {"Name": "overlayfs"}}})
    assert shown["GraphDriver"] == {"Name": "overlayfs", "Data": None}
    assert "Storage" not in shown
    own = {"Name": "overlay2", "Data": {"UpperDir": "/x"}}
    assert inspected("1.51", GraphDriver=own)["GraphDriver"] == own
    both = inspected(
        "1.51", GraphDriver=own, Storage={"RootFS": {"Snapshot": {"Name": "overlay2"}}}
    )
    assert both["GraphDriver"] == own
    assert "Storage" not in both


def test_wait_answers_nothing_on_errors_below_1_34():
    failed = {"StatusCode": 1, "Error": {"Message": "gone"}}
    assert lower("containers.wait", at("1.33"), dict(failed)) is None
    assert lower("containers.wait", at("1.34"), dict(failed)) == failed
    assert lower("containers.wait", at("1.33"), {"StatusCode": 1}) == {"StatusCode": 1}


def test_image_list_without_names_below_1_43():
    image = {"RepoTags": [], "RepoDigests": [], "Containers": 2, "Size": 5}
    assert lower("images.list", at("1.42"), [dict(image)]) == [
        {
            "RepoTags": ["<none>:<none>"],
            "RepoDigests": ["<none>@<none>"],
            "Containers": -1,
            "Size": 5,
            "VirtualSize": 5,
        }
    ]
    assert lower("images.list", at("1.50"), [dict(image)]) == [{**image, "Containers": -1}]


def test_events_repeat_their_actor_below_1_52():
    event = {
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": "x", "Attributes": {"image": "busybox"}},
    }
    assert lower("system.events", at("1.51"), copy.deepcopy(event)) == {
        **event,
        "id": "x",
        "status": "die",
        "from": "busybox",
    }
    created = {"Type": "image", "Action": "create", "Actor": {"ID": "x"}}
    assert lower("system.events", at("1.45"), dict(created)) is None
    assert lower("system.events", at("1.46"), dict(created)) == {
        **created,
        "id": "x",
        "status": "create",
    }
    network = {"Type": "network", "Action": "create", "Actor": {"ID": "x"}}
    assert lower("system.events", at("1.24"), dict(network)) == network


def test_build_sends_nothing_for_programs_below_1_30():
    assert lower("build.build", at("1.29"), {"aux": {"ID": "x"}}) is None
    assert lower("build.build", at("1.29"), {"stream": "x"}) == {"stream": "x"}


def test_network_list_has_containers_below_1_28():
    query: dict[str, list[str]] = {}
    lift("networks.list", at("1.28"), query, None)
    assert query == {}
    lift("networks.list", at("1.27"), query, None)
    assert query == {"containers": ["1"]}


# ---- recorded responses of dockerd ------------------------------------------

RESULTS = {
    "info": "system.info",
    "version": "system.version",
    "network inspect": "networks.inspect",
    "network list": "networks.list",
    "container inspect": "containers.inspect",
    "container inspect bridge": "containers.inspect",
    "container list": "containers.list",
    "container list health": "containers.list",
    "container stats": "containers.stats",
    "container top": "containers.top",
    "container update": "containers.update",
    "container wait": "containers.wait",
    "exec inspect": "exec.inspect",
    "image list": "images.list",
    "image list shared size": "images.list",
    "image inspect": "images.inspect",
    "image history": "images.history",
    "volume inspect": "volumes.inspect",
    "volume list": "volumes.list",
    "df": "system.disk_usage",
    "events": "system.events",
}
OLDER = ["1.24", "1.30", "1.35", "1.40", "1.41", "1.43", "1.44", "1.47", "1.48", "1.51", "1.52"]

ASKED_FOR_LATER = re.compile(
    r"HostConfig\.Annotations|BindOptions\.|Healthcheck\.StartInterval"  # lifted at create
    r"|^\[\]\.precpu_stats\.|\.Manifests\b"  # one-shot, manifests: lifted parameters
    r"|^\[\]\[\]\.Containers$"  # of networks: a lifted parameter
    r"|^\[\]\.Config\.MacAddress"  # the requested address, which dockerd stores apart
)
"""Fields that differ because dockerd interprets the recorded requests differently by version."""


@cache
def recorded() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (step["area"][1:], step["step"]): step["response"]
        for step in recorded_steps()
        if step["area"].startswith("v1.")
    }


def keys(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{path}.{name}".lstrip(".")
            yield from keys(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from keys(item, f"{path}[]")


def messages(response: dict[str, Any]) -> Any:
    """Return a response as a list: a stream of one message was recorded as one document."""
    body = copy.deepcopy(response["body"])
    return body if response["form"] == "ndjson" else [body]


@pytest.mark.parametrize("version", OLDER)
@pytest.mark.parametrize("step", RESULTS)
def test_lowered_results_have_the_keys_that_dockerd_sent(step: str, version: str):
    newest, older = recorded()["1.55", step], recorded()[version, step]
    lowered = [lower(RESULTS[step], at(version), message) for message in messages(newest)]
    got, wanted = set(keys(lowered)), set(keys(messages(older)))
    assert {path for path in got ^ wanted if not ASKED_FOR_LATER.search(path)} == set()
